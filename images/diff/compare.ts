// The differences between two images in content and behaviour, not in bytes.
// Owns the sections of a comparison. It compares what only a boot shows if both have receipts, else it says so.
// Pure, except that it reads the receipts.
import { diffLines } from 'diff'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readReceipt, type Receipt } from '../boot/receipt.ts'
import { readDescription, type Description } from '../describe/manifest.ts'

/** Each section compares one thing, key by key. The last three come from the receipts. */
export const SECTIONS = {
  packages: 'Debian packages',
  npm: 'npm packages',
  files: 'Files',
  texts: 'Configuration (/etc, units, and what systemd, udev and PAM read)',
  setuid: 'Files with more rights (setuid, setgid, capabilities)',
  units: 'Units that start at boot',
  unitProperties: 'Settings of units',
  sysctls: 'Kernel parameters (sysctl)',
  kernelConfig: 'Kernel configuration',
  commandLine: 'Kernel command line',
  sizes: 'Sizes in bytes',
  listening: 'Listening sockets',
  outgoing: 'Addresses spoken to',
  boot: 'Boot',
} as const

export type SectionName = keyof typeof SECTIONS
export const FROM_RECEIPTS: readonly SectionName[] = ['listening', 'outgoing', 'boot']

export type Change = {
  key: string
  kind: 'added' | 'removed' | 'changed'
  before?: string
  after?: string
  /** The changed lines of a text, each with `+` or `-` before it. Then `before` and `after` are missing. */
  lines?: string[]
}

export type Diff = {
  /** SHA-256 of the two disks. */
  before: string
  after: string
  /** Null for a section that was not compared, because an image has no receipt. */
  changes: Record<SectionName, Change[] | null>
  /** The units that start at boot in the new image. */
  started: string[]
  /** For sections with numbers: key → value in both images. */
  figures: { before: Record<string, number>; after: Record<string, number> }
  /** Images without a receipt of this version of the boot test. Their sections from receipts were not compared. */
  notBooted: ('before' | 'after')[]
}

export type Side = Description & { receipt: Receipt | undefined }

/**
 * Reads an image's folder.
 * @throws {InputError} when a file beside the disk has an earlier format, or is damaged
 */
export function readSide(folder: string): Side {
  const description = readDescription(folder)
  return { ...description, receipt: receiptOf(folder, description.manifest.digest) }
}

function receiptOf(folder: string, digest: string): Receipt | undefined {
  const file = join(folder, 'receipt.json')
  if (!existsSync(file)) return undefined
  try {
    return readReceipt(file, digest)
  } catch {
    return undefined // Of an earlier boot test: as if there were none, which the comparison says.
  }
}

/** Compares two images: the running one and its replacement. */
export function compareImages(before: Side, after: Side): Diff {
  // If only one image starts a unit, its settings are not compared: the unit itself is the change.
  const inBoth = (unit: string) =>
    unit in before.manifest.unitProperties && unit in after.manifest.unitProperties
  const [old, fresh] = [valuesOf(before, inBoth), valuesOf(after, inBoth)]
  const booted = before.receipt !== undefined && after.receipt !== undefined
  const names = Object.keys(SECTIONS) as SectionName[]
  const changes = names.map((name) => {
    const compared = booted || !FROM_RECEIPTS.includes(name)
    const found = compared ? differences(old[name], fresh[name]) : null
    return [name, name === 'texts' ? (found?.map(withLines) ?? null) : found] as const
  })
  const sides = { before, after }
  return {
    before: before.manifest.digest,
    after: after.manifest.digest,
    changes: Object.fromEntries(changes) as Diff['changes'],
    started: Object.keys(after.manifest.unitProperties),
    figures: { before: figuresOf(before), after: figuresOf(after) },
    notBooted: (['before', 'after'] as const).filter((side) => sides[side].receipt === undefined),
  }
}

type Values = ReadonlyMap<string, string>

function valuesOf(side: Side, inBoth: (unit: string) => boolean): Record<SectionName, Values> {
  const { manifest, files, texts, kernelConfig, receipt } = side
  const named = (list: readonly { name: string; version: string }[]) =>
    new Map(list.map(({ name, version }) => [name, version]))
  const present = (list: readonly string[]) => new Map(list.map((key) => [key, '']))
  const figures = new Map(Object.entries(figuresOf(side)).map(([key, value]) => [key, String(value)]))
  const isBoot = (key: string) => /^(seconds|bytesRead|blocksRead)/.test(key)
  return {
    packages: named(
      manifest.packages.map((item) => ({
        ...item,
        name: withoutRelease(item.name, manifest.kernel.release),
      })),
    ),
    npm: new Map([
      ...allVersions(manifest.bundled.map(({ name, version }) => ({ name: `${name} (bundled)`, version }))),
      ...named(manifest.npm),
      ['node', manifest.node],
    ]),
    files: new Map(
      files.map(({ path, type, mode, uid, gid, sha256, target, package: owner }) => {
        const content = sha256?.slice(0, 16) ?? target ?? ''
        return [path, `${type} ${mode} ${uid}:${gid} ${content} (${owner})`.replace('  ', ' ')]
      }),
    ),
    texts: new Map(Object.entries(texts)),
    setuid: present(manifest.setuid),
    units: new Map([
      ...present(Object.keys(manifest.unitProperties)),
      ...manifest.units.masked.map((unit): [string, string] => [unit, 'masked']),
    ]),
    unitProperties: new Map(
      Object.entries(manifest.unitProperties)
        .filter(([unit]) => inBoth(unit))
        .flatMap(([unit, properties]) =>
          Object.entries(properties).map(([key, values]) => [`${unit} ${key}`, values.join(' ⏎ ')] as const),
        ),
    ),
    sysctls: new Map(Object.entries(manifest.sysctls)),
    kernelConfig: new Map(
      [...kernelConfig.matchAll(/^(CONFIG_\w+)=(.*)$/gm)].map(([, key = '', value = '']) => [key, value]),
    ),
    commandLine: commandLineOf(manifest.kernel.commandLine),
    sizes: new Map([...figures].filter(([key]) => !isBoot(key))),
    listening: present(receipt?.listening ?? []),
    outgoing: present(receipt?.outgoing ?? []),
    boot: new Map([...figures].filter(([key]) => isBoot(key))),
  }
}

/** A package can exist in several versions. */
function allVersions(list: readonly { name: string; version: string }[]): Values {
  const groups = Map.groupBy(list, ({ name }) => name)
  return new Map([...groups].map(([name, items]) => [name, items.map(({ version }) => version).join(', ')]))
}

/** The name of the kernel's package contains its version. An update counts as a change of one package. */
const withoutRelease = (name: string, release: string) => name.replace(`-${release}`, '')

/** The command line without the root's hash and salt, which depend on the files. */
function commandLineOf(text: string): Values {
  const words = text.split(' ').filter((word) => !/^(roothash|mailfleet\.verity)=/.test(word))
  return new Map(words.map((word) => [word.split('=', 1)[0] ?? word, word.slice(word.indexOf('=') + 1)]))
}

function figuresOf({ manifest, receipt }: Side): Record<string, number> {
  const boot = receipt
    ? {
        secondsToFirstForward: receipt.secondsToFirstForward,
        secondsToKernel: receipt.secondsToKernel,
        secondsToUserspace: receipt.secondsToUserspace,
        secondsToServerStart: receipt.secondsToServerStart,
        bytesRead: receipt.bytesRead,
        blocksRead: receipt.blocksRead,
      }
    : {}
  const packages = Object.entries(manifest.sizesByPackage).map(([name, bytes]) => [
    `of ${withoutRelease(name, manifest.kernel.release)}`,
    bytes,
  ])
  return { ...manifest.sizes, ...(Object.fromEntries(packages) as Record<string, number>), ...boot }
}

function differences(before: Values, after: Values): Change[] {
  const keys = [...new Set([...before.keys(), ...after.keys()])].sort()
  return keys.flatMap((key): Change[] => {
    const [old, fresh] = [before.get(key), after.get(key)]
    if (old === fresh) return []
    if (old === undefined) return [{ key, kind: 'added', after: fresh ?? '' }]
    if (fresh === undefined) return [{ key, kind: 'removed', before: old }]
    return [{ key, kind: 'changed', before: old, after: fresh }]
  })
}

/** The change of a text, as its changed lines. */
function withLines({ key, kind, before = '', after = '' }: Change): Change {
  const parts = diffLines(ended(before), ended(after)).filter(({ added, removed }) => added || removed)
  const lines = parts.flatMap(({ added, value }) =>
    value
      .replace(/\n$/, '')
      .split('\n')
      .map((line) => `${added ? '+' : '-'} ${line}`),
  )
  return { key, kind, lines }
}

/** A last line without a line feed counts as the same line. */
const ended = (text: string) => (text === '' || text.endsWith('\n') ? text : `${text}\n`)
