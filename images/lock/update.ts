// The report of a lock update: by source package, with the changelog since the locked version and its CVEs. Owns: reading the
// packages, which are in the cache already, and the text. Fails with dpkg's own words.
import { existsSync } from 'node:fs'
import { changelogOf, entriesSince, sourcePackageOf, type ChangelogEntry } from './changelog.ts'
import { bytesChanged, lockChanges, type LockChange } from './changes.ts'
import type { Lock, LockedDeb, LockedNpm } from '../lock-file.ts'

type Named = { name: string; parts: string[]; version: string }
/** Packages of one source that changed from one version to another. `lines`: points of the changelog, newest first. */
export type Upgrade = {
  source: string
  packages: string[]
  parts: string[]
  from: string
  to: string
  lines: string[]
  cves: string[]
}
export type LockUpdate = {
  upgrades: Upgrade[]
  added: Named[]
  removed: Named[]
  /** The spec has changed since it was locked. */
  specChanged: boolean
  addedBytes: number
  removedBytes: number
  cves: string[]
}

/** Points of a changelog and CVEs that the text shows. JSON has all of them. */
const SHOWN_LINES = 4
const SHOWN_CVES = 12
const LINE_CHARS = 110

/**
 * Describes what changes from lock `before` to lock `after`.
 * @param pathOf path of a package's file; a missing file is not read
 */
export async function describeUpdate(
  before: Lock,
  after: Lock,
  o: { pathOf: (deb: LockedDeb) => string; cacheDir: string },
): Promise<LockUpdate> {
  const changes = byPackage(lockChanges(before, after))
  const upgrades = new Map<string, Upgrade>()
  for (const { from, to, parts } of changes) {
    if (!from || !to) continue
    const { source, entries } = await whatIsNew(from, to, o)
    const key = JSON.stringify([source, from.version, to.version])
    const others = upgrades.get(key)
    upgrades.set(key, {
      source,
      packages: [...(others?.packages ?? []), to.name],
      parts: [...new Set([...(others?.parts ?? []), ...parts])],
      from: from.version,
      to: to.version,
      // Some packages of a source only link to another's changelog.
      lines: others?.lines.length ? others.lines : entries.flatMap(({ lines }) => lines),
      cves: [...new Set([...(others?.cves ?? []), ...entries.flatMap(({ cves }) => cves)])].sort(),
    })
  }
  const named = (item: LockedDeb | LockedNpm, parts: string[]) => ({
    name: item.name,
    version: item.version,
    parts,
  })
  return {
    upgrades: [...upgrades.values()],
    added: changes.flatMap(({ from, to, parts }) => (to && !from ? [named(to, parts)] : [])),
    removed: changes.flatMap(({ from, to, parts }) => (from && !to ? [named(from, parts)] : [])),
    specChanged: before.spec !== after.spec,
    ...bytesChanged(before, after),
    cves: [...new Set([...upgrades.values()].flatMap(({ cves }) => cves))].sort(),
  }
}

type MergedChange = Omit<LockChange, 'part'> & { parts: string[] }

/** Root and tools share packages, so a change in both is reported once. */
function byPackage(changes: readonly LockChange[]): MergedChange[] {
  const groups = Map.groupBy(changes, ({ from, to }) =>
    JSON.stringify([from?.name, from?.version, to?.name, to?.version]),
  )
  return [...groups.values()].map((group) => ({ ...group[0], parts: group.map(({ part }) => part) }))
}

async function whatIsNew(
  from: LockedDeb | LockedNpm,
  to: LockedDeb | LockedNpm,
  o: { pathOf: (deb: LockedDeb) => string; cacheDir: string },
): Promise<{ source: string; entries: ChangelogEntry[] }> {
  if (!('sha256' in to) || !('sha256' in from) || !existsSync(o.pathOf(to)))
    return { source: to.name, entries: [] }
  const { source, version } = await sourcePackageOf(o.pathOf(to))
  const entries = await changelogOf(o.pathOf(to), o.cacheDir)
  // A changelog has versions of the source, which may differ from the package's.
  const own = version === to.version
  const old = own
    ? from.version
    : existsSync(o.pathOf(from))
      ? (await sourcePackageOf(o.pathOf(from))).version
      : undefined
  return { source, entries: entriesSince(entries, old) }
}

/** The report for a terminal. */
export function updateText(update: LockUpdate): string {
  const { upgrades, added, removed, specChanged, cves } = update
  if (upgrades.length + added.length + removed.length === 0 && !specChanged) return 'nothing changed'
  return [
    ...upgrades.flatMap(upgradeLines),
    ...added.map(({ name, version, parts }) => `added    ${name} ${version} (${parts.join(', ')})`),
    ...removed.map(({ name, version, parts }) => `removed  ${name} ${version} (${parts.join(', ')})`),
    ...(specChanged ? ['spec: changed since it was locked'] : []),
    `${count(upgrades.flatMap(({ packages }) => packages).length, 'package')} changed, ${added.length} added, ` +
      `${removed.length} removed: ${megabytes(update.addedBytes)} MB in place of ${megabytes(update.removedBytes)} MB; ` +
      `${count(cves.length, 'CVE')} named`,
  ].join('\n')
}

function upgradeLines({ source, packages, parts, from, to, lines, cves }: Upgrade): string[] {
  const names = packages.join(', ')
  const change = from === to ? `${to}: same version, other content` : `${from} → ${to}`
  const more = lines.length - SHOWN_LINES
  const shown = lines
    .slice(0, SHOWN_LINES)
    .map((line) => `    * ${line.length > LINE_CHARS ? `${line.slice(0, LINE_CHARS - 1)}…` : line}`)
  const others = cves.length > SHOWN_CVES ? ` and ${cves.length - SHOWN_CVES} more` : ''
  return [
    `${source === names ? names : `${source}: ${names}`} ${change} (${parts.join(', ')})`,
    ...shown,
    ...(more > 0 ? [`    … ${count(more, 'more point')}`] : []),
    ...(cves.length > 0 ? [`    ${cves.slice(0, SHOWN_CVES).join(' ')}${others}`] : []),
  ]
}

const count = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`
const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)
