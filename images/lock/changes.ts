// The differences between two locks: package by package, as lines of text, and in bytes.
import { lockedDebs, type Lock, type LockedDeb, type LockedNpm } from '../lock-file.ts'

export type LockPart = 'root' | 'kernel' | 'tools' | 'target' | 'node' | 'native'

/** One package of one part: added without `from`, removed without `to`. */
export type LockChange = { part: LockPart; from?: LockedDeb | LockedNpm; to?: LockedDeb | LockedNpm }

/** Every package that differs between lock `a` and lock `b`, by part, then name, removed packages last. */
export function lockChanges(a: Lock, b: Lock): LockChange[] {
  // The package of a new kernel has another name, but replaces the old one.
  const kernel: LockChange[] = same(a.kernel, b.kernel)
    ? []
    : [{ part: 'kernel', from: a.kernel, to: b.kernel }]
  return [
    ...partChanges('root', a.root, b.root),
    ...kernel,
    ...partChanges('tools', a.tools, b.tools),
    ...partChanges('target', a.target ?? [], b.target ?? []),
    ...partChanges('node', [a.node], [b.node]),
    ...partChanges('native', a.native, b.native),
  ]
}

/** The changes from lock `a` to lock `b`, one line each: `root: libc6 2.41-12 → 2.41-13`. */
export function diffLocks(a: Lock, b: Lock): string[] {
  const lines = lockChanges(a, b).map(({ part, from, to }) => {
    if (!from) return `${part}: ${to?.name} ${to?.version} added`
    if (!to) return `${part}: ${from.name} ${from.version} removed`
    if (from.name !== to.name) return `${part}: ${from.name} ${from.version} → ${to.name} ${to.version}`
    if (from.version !== to.version) return `${part}: ${from.name} ${from.version} → ${to.version}`
    return `${part}: ${to.name} ${to.version} same version, other content`
  })
  return a.spec === b.spec ? lines : [...lines, 'spec: changed since it was locked']
}

/** Bytes of the packages that only one of two locks has. */
export function bytesChanged(a: Lock, b: Lock): { addedBytes: number; removedBytes: number } {
  const [before, after] = [lockedDebs(a), lockedDebs(b)]
  const only = (debs: readonly LockedDeb[], others: readonly LockedDeb[]) => {
    const known = new Set(others.map(({ sha256 }) => sha256))
    return debs.filter(({ sha256 }) => !known.has(sha256)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  }
  return { addedBytes: only(after, before), removedBytes: only(before, after) }
}

function partChanges(
  part: LockPart,
  before: readonly (LockedDeb | LockedNpm)[],
  after: readonly (LockedDeb | LockedNpm)[],
): LockChange[] {
  const old = Map.groupBy(before, ({ name }) => name)
  const changes: LockChange[] = []
  for (const to of sortedByName(after)) {
    // npm may lock two versions of one name. Each is compared with the same version first.
    const candidates = old.get(to.name) ?? []
    const from = candidates.find(({ version }) => version === to.version) ?? candidates[0]
    old.set(
      to.name,
      candidates.filter((item) => item !== from),
    )
    if (!from) changes.push({ part, to })
    else if (!same(from, to)) changes.push({ part, from, to })
  }
  return [...changes, ...[...old.values()].flat().map((from) => ({ part, from }))]
}

const same = (a: LockedDeb | LockedNpm, b: LockedDeb | LockedNpm) =>
  a.name === b.name && a.version === b.version && contentHash(a) === contentHash(b)

const contentHash = (item: LockedDeb | LockedNpm) => ('sha256' in item ? item.sha256 : item.integrity)

/** Sorted by name in the order of code units, which does not depend on the locale. */
function sortedByName<T extends { name: string }>(items: readonly T[]): T[] {
  return [...items].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}
