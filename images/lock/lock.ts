// The lock, images/image.lock.json: every input of the image by version and hash, and the one date it is built at.
// It names no host: a .deb is known by its archive and its path there. Fails with InputError, all problems at once.
import { writeFileSync, renameSync } from 'node:fs'
import * as v from 'valibot'
import { checkInput, readInput } from '../../input/problems.ts'

const hex256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'a SHA-256 in lower case hex'))
const poolPath = v.pipe(
  v.string(),
  v.regex(/^pool\/[A-Za-z0-9_+.~%/-]+\.deb$/, "a .deb's path below the archive, pool/….deb"),
  v.check((path) => !path.split('/').includes('..'), 'a path without ..'),
)
const debSchema = v.strictObject({
  name: v.pipe(v.string(), v.minLength(1, "the package's name")),
  version: v.pipe(v.string(), v.minLength(1, "the package's version")),
  architecture: v.picklist(['amd64', 'arm64', 'all'], 'amd64, arm64 or all'),
  archive: v.picklist(['debian', 'security'], 'debian or security'),
  filename: poolPath,
  sizeBytes: v.pipe(v.number(), v.integer('a whole number of bytes'), v.minValue(1, 'more than 0')),
  sha256: hex256,
})
const npmSchema = v.strictObject({
  name: v.pipe(v.string(), v.minLength(1, "the package's name")),
  version: v.pipe(v.string(), v.regex(/^\d+\.\d+\.\d+/, 'an exact version')),
  integrity: v.pipe(v.string(), v.regex(/^sha512-[A-Za-z0-9+/]{86}==$/, 'an npm integrity, sha512-…')),
})
const lockSchema = v.strictObject({
  format: v.literal(1, '1'),
  /** Seconds since 1970 that every file of the image is dated at, SOURCE_DATE_EPOCH. */
  sourceDateEpoch: v.pipe(v.number(), v.integer('whole seconds'), v.minValue(1, 'seconds since 1970')),
  spec: hex256,
  root: v.pipe(v.array(debSchema), v.minLength(1, 'at least one package')),
  kernel: debSchema,
  tools: v.pipe(v.array(debSchema), v.minLength(1, 'at least one package')),
  node: npmSchema,
  native: v.array(npmSchema),
})

export type LockedDeb = v.InferOutput<typeof debSchema>
export type LockedNpm = v.InferOutput<typeof npmSchema>
export type Lock = v.InferOutput<typeof lockSchema>

/**
 * Reads and checks a lock.
 * @throws {InputError} naming every key that does not fit.
 */
export function readLock(file: string): Lock {
  return checkInput(file, lockSchema, readInput(file))
}

/** Writes a lock so that a reader finds the old one or the new one, never half of it. */
export function writeLock(file: string, lock: Lock): void {
  const temporary = `${file}.${process.pid}.tmp`
  writeFileSync(temporary, lockText(lock))
  renameSync(temporary, file)
}

/** A lock as text: one package a line, sorted, so that a change of one package is a change of one line. */
export function lockText(lock: Lock): string {
  const { root, tools, native, ...rest } = lock
  const list = (items: readonly (LockedDeb | LockedNpm)[]) =>
    items.length === 0 ? '[]' : `[\n${items.map((item) => `    ${JSON.stringify(item)}`).join(',\n')}\n  ]`
  const single = Object.entries(rest).map(([key, value]) => `  "${key}": ${JSON.stringify(value)}`)
  const lists = [
    `  "native": ${list(sortedByName(native))}`,
    `  "root": ${list(sortedByName(root))}`,
    `  "tools": ${list(sortedByName(tools))}`,
  ]
  return `{\n${[...single, ...lists].join(',\n')}\n}\n`
}

/** All .debs of a lock, each once: root and tools share many. */
export function lockedDebs(lock: Lock): LockedDeb[] {
  return [...new Map([...lock.root, lock.kernel, ...lock.tools].map((deb) => [deb.sha256, deb])).values()]
}

/** What changes from lock `a` to lock `b`, one line a difference, for people: `root: libc6 2.41-12 → 2.41-13`. */
export function diffLocks(a: Lock, b: Lock): string[] {
  const lines = [
    ...diffPackages('root', a.root, b.root),
    ...diffPackages('kernel', [a.kernel], [b.kernel]),
    ...diffPackages('tools', a.tools, b.tools),
    ...diffPackages('node', [a.node], [b.node]),
    ...diffPackages('native', a.native, b.native),
  ]
  if (a.spec !== b.spec) lines.push('spec: changed since it was locked')
  return lines
}

function diffPackages(
  part: string,
  before: readonly (LockedDeb | LockedNpm)[],
  after: readonly (LockedDeb | LockedNpm)[],
): string[] {
  const old = new Map(before.map((item) => [item.name, item]))
  const lines: string[] = []
  for (const item of sortedByName(after)) {
    const was = old.get(item.name)
    old.delete(item.name)
    if (!was) lines.push(`${part}: ${item.name} ${item.version} added`)
    else if (was.version !== item.version)
      lines.push(`${part}: ${item.name} ${was.version} → ${item.version}`)
    else if (contentHash(was) !== contentHash(item))
      lines.push(`${part}: ${item.name} ${item.version} same version, other content`)
  }
  return [...lines, ...[...old.values()].map((item) => `${part}: ${item.name} ${item.version} removed`)]
}

const contentHash = (item: LockedDeb | LockedNpm) => ('sha256' in item ? item.sha256 : item.integrity)

const sortedByName = <T extends { name: string }>(items: readonly T[]): T[] =>
  [...items].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
