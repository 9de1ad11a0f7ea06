// The image's spec, images/image.yaml: the image's content by name. The lock has the versions. Owns: the file's schema.
// Fails with InputError, all problems of the file at once, before anything is fetched or written.
import { createHash } from 'node:crypto'
import * as v from 'valibot'
import { basename, dirname, join } from 'node:path'
import { checkInput, InputError, readInput, formatValue } from '../input/problems.ts'

const packageName = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9][a-z0-9+.-]+$/, 'a Debian package name (lower case letters, digits, + . -)'),
)
const npmName = v.pipe(v.string(), v.regex(/^(@[a-z0-9-]+\/)?[a-z0-9._-]+$/, 'an npm package name'))
const moduleName = v.pipe(v.string(), v.regex(/^[a-z0-9_-]+$/, 'a kernel module name'))
const unitName = v.pipe(
  v.string(),
  v.regex(
    /^[\w.@-]+\.(service|socket|target|timer|mount|automount|path|slice)$/,
    'a systemd unit name with its type',
  ),
)
const relativePath = v.pipe(
  v.string(),
  v.regex(
    /^[A-Za-z0-9_@*.+-]+(\/[A-Za-z0-9_@*.+-]+)*$/,
    'a path relative to the root, shell patterns allowed',
  ),
  v.check((path) => !path.split('/').includes('..'), 'a path without ..'),
)
const word = v.pipe(v.string(), v.regex(/^[\x21-\x7e]+$/, 'one word of the kernel command line'))
const positive = v.pipe(v.number(), v.integer('a whole number'), v.minValue(1, 'a number greater than 0'))
const some = <T extends v.GenericSchema>(item: T) => v.pipe(v.array(item), v.minLength(1, 'at least one'))

const siblingFile = v.pipe(v.string(), v.regex(/^[\w.-]+\.yaml$/, 'the name of a YAML file beside this one'))

const specSchema = v.strictObject({
  name: v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,15}$/, 'a short name in lower case')),
  suite: v.pipe(v.string(), v.regex(/^[a-z]+$/, "a Debian suite's code name")),
  /** Debian's name of the architecture. Each architecture has its own lock. */
  architecture: v.picklist(['amd64', 'arm64'], 'amd64 or arm64'),
  kernel: packageName,
  node: v.strictObject({
    package: npmName,
    version: v.pipe(v.string(), v.regex(/^\d+\.\d+\.\d+$/, 'an exact version (major.minor.patch)')),
  }),
  native: v.array(npmName),
  packages: some(packageName),
  tools: some(packageName),
  user: v.strictObject({
    name: v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,30}$/, 'a user name')),
    // 1-99 are Debian's own ids, 100-899 those of its packages, 1000 and up those of people.
    id: v.pipe(
      v.number(),
      v.integer('a whole number'),
      v.minValue(900, '900 to 999'),
      v.maxValue(999, '900 to 999'),
    ),
  }),
  modules: v.strictObject({ initrd: some(moduleName), root: v.array(moduleName) }),
  kernelCommandLine: v.array(word),
  units: v.strictObject({ enable: v.record(unitName, v.array(unitName)), mask: v.array(unitName) }),
  remove: v.array(relativePath),
  budget: v.strictObject({
    /** Blocks of 512 KiB that a boot may read until it has forwarded its first message. */
    maxBootBlocks: positive,
    /** Size of disk.raw in bytes. */
    maxImageBytes: positive,
  }),
})

export type Spec = v.InferOutput<typeof specSchema>

/**
 * Reads and checks a spec. A spec with `extends: FILE` inherits the keys of that file beside it, except those that it has
 * itself.
 * @throws {InputError} naming every key that does not fit.
 */
export function readSpec(file: string): Spec {
  const own = readInput(file)
  if (typeof own !== 'object' || own === null || !('extends' in own)) return checkInput(file, specSchema, own)
  const { extends: base, ...keys } = own
  const name = checkInput(file, v.object({ extends: siblingFile }), own).extends
  if (name === basename(file))
    throw new InputError(file, [{ key: 'extends', found: formatValue(base), expected: 'another file' }])
  return checkInput(file, specSchema, { ...(readInput(join(dirname(file), name)) as object), ...keys })
}

/**
 * Digest of the part of a spec that decides the packages. A spec whose digest differs from the lock's needs a new lock.
 * Paths to remove, units and kernel parameters change the image but not its packages.
 */
export function lockedPartDigest(spec: Spec): string {
  const { suite, architecture, kernel, node, native, packages, tools } = spec
  const part = {
    suite,
    architecture,
    kernel,
    node,
    native,
    packages: [...packages].sort(),
    tools: [...tools].sort(),
  }
  return createHash('sha256').update(JSON.stringify(part)).digest('hex')
}
