// The lock, images/image.lock.json: every input of the image by version and hash, and the date of all its files. It names no
// host: a .deb is known by its archive and its path there. Fails with InputError, all problems at once.
import * as v from 'valibot'
import { checkInput, InputError, readInput, type Problem } from '../input/problems.ts'
import { writeFileAtomic } from '../platform/atomic-file.ts'

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
  /** SOURCE_DATE_EPOCH: the date of every file of the image, in seconds since 1970. */
  sourceDateEpoch: v.pipe(v.number(), v.integer('whole seconds'), v.minValue(1, 'seconds since 1970')),
  spec: hex256,
  root: v.pipe(v.array(debSchema), v.minLength(1, 'at least one package')),
  kernel: debSchema,
  tools: v.pipe(v.array(debSchema), v.minLength(1, 'at least one package')),
  /** Tools that go into the image, when its architecture is not the tools'. */
  target: v.optional(v.array(debSchema)),
  node: npmSchema,
  native: v.array(npmSchema),
})

export type LockedDeb = v.InferOutput<typeof debSchema>
export type LockedNpm = v.InferOutput<typeof npmSchema>
export type Lock = v.InferOutput<typeof lockSchema>

/** An npm package with code in the server's bundle. `folder`: its path in the repository, as in package-lock.json. */
export type BundledPackage = { folder: string; name: string; version: string }

/**
 * Reads and checks a lock.
 * @throws {InputError} naming every key that does not fit.
 */
export function readLock(file: string): Lock {
  const lock = checkInput(file, lockSchema, readInput(file))
  const problems = contradictions(lock)
  if (problems.length > 0) throw new InputError(file, problems)
  return lock
}

/** Packages that occur twice, which a git merge of two locks can cause. A bake uses one version of each package. */
function contradictions(lock: Lock): Problem[] {
  const problems: Problem[] = []
  const paths = new Map<string, { key: string; deb: LockedDeb }>()
  const places: [string, LockedDeb][] = [
    ...lock.root.map((deb, index): [string, LockedDeb] => [`root.${index}`, deb]),
    ['kernel', lock.kernel],
    ...lock.tools.map((deb, index): [string, LockedDeb] => [`tools.${index}`, deb]),
    ...(lock.target ?? []).map((deb, index): [string, LockedDeb] => [`target.${index}`, deb]),
  ]
  for (const [key, deb] of places) {
    const path = `${deb.archive}/${deb.filename}`
    const first = paths.get(path)
    if (first && (first.deb.sha256 !== deb.sha256 || first.deb.sizeBytes !== deb.sizeBytes)) {
      const expected = `the content that ${first.key} has for the same ${deb.filename}`
      problems.push({ key, found: `${deb.sizeBytes} bytes, ${deb.sha256}`, expected })
    }
    if (!first) paths.set(path, { key, deb })
  }
  const once = (part: string, names: string[]) => {
    for (const [index, name] of names.entries()) {
      if (names.indexOf(name) < index)
        problems.push({ key: `${part}.${index}`, found: `${name} again`, expected: 'each package once' })
    }
  }
  once(
    'root',
    lock.root.map(({ name }) => name),
  )
  once(
    'tools',
    lock.tools.map(({ name }) => name),
  )
  once(
    'target',
    (lock.target ?? []).map(({ name }) => name),
  )
  once(
    'native',
    lock.native.map(({ name, version }) => `${name} ${version}`),
  )
  return problems
}

/** The architecture of the machines that bake, and so of the tools. */
export const HOST_ARCHITECTURE = 'amd64'

/** Tools that go into the image itself: the initrd's programs, and systemd's EFI stub. */
export const TARGET_PROGRAMS = ['base-files', 'busybox-static', 'dmsetup', 'systemd-boot-efi']

/** Packages whose architecture is not the spec's, and tools whose architecture is not the machine's. */
export function architectureProblems(lock: Lock, architecture: string): Problem[] {
  const wrong = (debs: readonly LockedDeb[], wanted: string, whose: string) =>
    debs
      .filter((deb) => deb.architecture !== 'all' && deb.architecture !== wanted)
      .map(({ name, architecture: found }) => ({
        key: name,
        found,
        expected: `a package of the ${whose} architecture, ${wanted}, or of all`,
      }))
  const foreign = architecture !== HOST_ARCHITECTURE
  return [
    ...wrong([...lock.root, lock.kernel, ...(lock.target ?? [])], architecture, "spec's"),
    ...wrong(lock.tools, HOST_ARCHITECTURE, "tools'"),
    ...(foreign && lock.target === undefined
      ? [
          {
            key: 'target',
            found: 'nothing',
            expected: `programs for ${architecture} (npx mailfleet image lock makes a new lock)`,
          },
        ]
      : []),
  ]
}

/** Writes a lock atomically. */
export function writeLock(file: string, lock: Lock): void {
  writeFileAtomic(file, lockText(lock))
}

/** A lock as text: one package a line, sorted, so that a changed package is one changed line. */
export function lockText(lock: Lock): string {
  const { root, tools, target, native, ...rest } = lock
  const list = (items: readonly (LockedDeb | LockedNpm)[]) =>
    items.length === 0 ? '[]' : `[\n${items.map((item) => `    ${JSON.stringify(item)}`).join(',\n')}\n  ]`
  const single = Object.entries(rest).map(([key, value]) => `  "${key}": ${JSON.stringify(value)}`)
  const lists = [
    `  "native": ${list(sortedByName(native))}`,
    `  "root": ${list(sortedByName(root))}`,
    `  "tools": ${list(sortedByName(tools))}`,
    ...(target === undefined ? [] : [`  "target": ${list(sortedByName(target))}`]),
  ]
  return `{\n${[...single, ...lists].join(',\n')}\n}\n`
}

/** All .debs of a lock, each once. Root and tools share many. */
export function lockedDebs(lock: Lock): LockedDeb[] {
  const all = [...lock.root, lock.kernel, ...lock.tools, ...(lock.target ?? [])]
  return [...new Map(all.map((deb) => [deb.sha256, deb])).values()]
}

const sortedByName = <T extends { name: string }>(items: readonly T[]): T[] =>
  [...items].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
