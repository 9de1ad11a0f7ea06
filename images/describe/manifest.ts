// The manifest, manifest.json beside the disk: what an image is made of, for people, the boot test and publishing.
// Owns: its contents and layout. Equal images have equal manifests, except `locked` and `lock`, which tell how the packages
// were chosen. Fails with InputError on a manifest that cannot be read.
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { checkInput, InputError, readInput } from '../../input/problems.ts'
import type { StageResult } from '../cache.ts'
import type { ContentFile, Contents } from './contents.ts'
import { lockText, type BundledPackage, type Lock } from '../lock-file.ts'
import { pcrValues } from './pcr.ts'
import type { Spec } from '../spec.ts'

/** The lock that an image was made from, beside its disk. It allows making the image again. */
export const IMAGE_LOCK = 'image.lock.json'

/** The list of the root's files, beside the disk. The manifest has its hash. */
export const FILES = 'files.json'
/** The configuration files, path → text, beside the disk. */
export const TEXTS = 'texts.json'
/** The kernel's configuration, beside the disk. */
export const KERNEL_CONFIG = 'kernel.config'

const hex256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'a SHA-256 in lower-case hexadecimal'))
const whole = v.pipe(v.number(), v.integer('a whole number'), v.minValue(0, 'a whole number'))
const texts = v.array(v.string())
const versions = v.array(v.strictObject({ name: v.string(), version: v.string() }))

const hex = v.pipe(v.string(), v.regex(/^[0-9a-f]+$/, 'lower-case hexadecimal'))
const pcrs = v.strictObject({ '4': hex, '7': hex, '12': hex })

const manifestSchema = v.strictObject({
  format: v.literal(3, '3, as this version bakes it; bake the image again'),
  name: v.string(),
  /** SHA-256 of disk.raw. */
  digest: hex256,
  architecture: v.string(),
  /** False when the packages were chosen anew, because a locked one was gone. */
  locked: v.boolean(),
  /** SHA-256 of the lock as text. */
  lock: hex256,
  sourceDateEpoch: whole,
  rootHash: hex256,
  kernel: v.strictObject({
    package: v.string(),
    version: v.string(),
    release: v.string(),
    commandLine: v.string(),
    /** SHA-256 of {@link KERNEL_CONFIG}. */
    config: hex256,
  }),
  node: v.string(),
  packages: v.array(v.strictObject({ name: v.string(), version: v.string(), architecture: v.string() })),
  npm: versions,
  /** npm packages whose code is in the server's bundle. */
  bundled: versions,
  units: v.strictObject({ enabled: texts, masked: texts }),
  /** Unit → `Section.Key` → values after all drop-ins, for every unit that a boot starts. */
  unitProperties: v.record(v.string(), v.record(v.string(), texts)),
  sysctls: v.record(v.string(), v.string()),
  /** Files of the root that are setuid, setgid or have extended attributes. */
  setuid: texts,
  /** Number of files in {@link FILES}, and its SHA-256. */
  files: v.strictObject({ count: whole, sha256: hex256 }),
  /** Number of texts in {@link TEXTS}, and its SHA-256. */
  texts: v.strictObject({ count: whole, sha256: hex256 }),
  /** Limits on what a boot reads and on the size of disk.raw, from the spec, whose schema names the units. */
  budget: v.strictObject({ maxBootBlocks: whole, maxImageBytes: whole }),
  /** Package → bytes of its files in the root, before compression. */
  sizesByPackage: v.record(v.string(), whole),
  /** The TPM's registers after a boot without Secure Boot keys, in hex by bank; see images/describe/pcr.ts. */
  pcr: v.strictObject({ sha256: pcrs, sha384: pcrs }),
  partitions: v.array(
    v.strictObject({ name: v.string(), uuid: v.string(), startBytes: whole, sizeBytes: whole }),
  ),
  sizes: v.strictObject({
    disk: whole,
    root: whole,
    verity: whole,
    uki: whole,
    initrd: whole,
    server: whole,
  }),
})

export type Manifest = v.InferOutput<typeof manifestSchema>

/** A disk: its SHA-256, its size in bytes, and where each partition lies on it. */
export type DiskLayout = { digest: string; bytes: number; partitions: Manifest['partitions'] }

/** Inputs of a manifest beside spec, lock and disk. */
export type ManifestParts = {
  /** False when the packages were chosen anew. */
  locked: boolean
  kernel: StageResult
  initrd: StageResult
  root: StageResult
  esp: StageResult
  rootHash: string
  kernelCommandLine: string
  /** The server's bundle: its size and its packages. */
  server: { bytes: number; packages: readonly BundledPackage[] }
  contents: Contents
}

/** Describes an image. Sizes are in bytes. */
function makeManifest(
  { spec, lock }: { spec: Spec; lock: Lock },
  parts: ManifestParts,
  disk: DiskLayout,
): Manifest {
  const { locked, kernel, initrd, root, esp, server, contents } = parts
  const ukiImage = readFileSync(join(esp.path, 'uki.efi'))
  const size = (stage: StageResult, name: string) => statSync(join(stage.path, name)).size
  return {
    format: 3,
    name: spec.name,
    digest: disk.digest,
    architecture: spec.architecture,
    locked,
    lock: sha256(lockText(lock)),
    sourceDateEpoch: lock.sourceDateEpoch,
    rootHash: parts.rootHash,
    kernel: {
      package: lock.kernel.name,
      version: lock.kernel.version,
      release: readFileSync(join(kernel.path, 'release'), 'utf8'),
      commandLine: parts.kernelCommandLine,
      config: sha256(readFileSync(join(kernel.path, 'config'))),
    },
    node: lock.node.version,
    packages: [...lock.root, lock.kernel].map(({ name, version, architecture }) => ({
      name,
      version,
      architecture,
    })),
    npm: lock.native.map(({ name, version }) => ({ name, version })),
    bundled: versionsOf(server.packages),
    units: { enabled: Object.values(spec.units.enable).flat().sort(), masked: [...spec.units.mask].sort() },
    unitProperties: contents.units,
    sysctls: contents.sysctls,
    setuid: contents.setuid,
    files: { count: contents.files.length, sha256: sha256(filesText(contents)) },
    texts: { count: Object.keys(contents.texts).length, sha256: sha256(textsText(contents)) },
    budget: spec.budget,
    sizesByPackage: contents.sizesByPackage,
    partitions: disk.partitions,
    pcr: { sha256: pcrValues(ukiImage, 'sha256'), sha384: pcrValues(ukiImage, 'sha384') },
    sizes: {
      disk: disk.bytes,
      root: size(root, 'root.erofs'),
      verity: size(root, 'root.verity'),
      uki: size(esp, 'uki.efi'),
      initrd: size(initrd, 'initrd.zst'),
      server: server.bytes,
    },
  }
}

const sha256 = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex')

/** One file a line, so that text tools can compare two lists. */
function filesText({ files }: Contents): string {
  return `[\n${files.map((file) => JSON.stringify(file)).join(',\n')}\n]\n`
}

const textsText = ({ texts }: Contents) => `${JSON.stringify(texts, null, 1)}\n`

/** Each version of a package once. A package may be installed in several folders. */
function versionsOf(packages: readonly BundledPackage[]): { name: string; version: string }[] {
  const each = new Map(packages.map(({ name, version }) => [`${name} ${version}`, { name, version }]))
  return [...each].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item)
}

/** Texts of the files that describe an image and lie beside its disk, by name. */
export function manifestTexts(
  named: { spec: Spec; lock: Lock },
  parts: ManifestParts,
  disk: DiskLayout,
): Record<string, string> {
  const { contents, kernel } = parts
  return {
    'manifest.json': `${JSON.stringify(makeManifest(named, parts, disk), null, 2)}\n`,
    [FILES]: filesText(contents),
    [TEXTS]: textsText(contents),
    [KERNEL_CONFIG]: readFileSync(join(kernel.path, 'config'), 'utf8'),
  }
}

/**
 * Reads the manifest of an image's folder.
 * @throws {InputError} naming every key that does not fit, or an earlier format
 */
export function readManifest(imageFolder: string): Manifest {
  const file = join(imageFolder, 'manifest.json')
  const found = readInput(file)
  // With another format only that is reported, and not every key.
  checkInput(file, v.object({ format: manifestSchema.entries.format }), found)
  return checkInput(file, manifestSchema, found)
}

const filesSchema = v.array(
  v.strictObject({
    path: v.string(),
    type: v.picklist(['file', 'directory', 'symlink', 'other']),
    mode: v.string(),
    uid: whole,
    gid: whole,
    package: v.string(),
    size: v.optional(whole),
    sha256: v.optional(hex256),
    target: v.optional(v.string()),
  }),
)

export type Description = {
  manifest: Manifest
  files: ContentFile[]
  texts: Record<string, string>
  kernelConfig: string
}

/**
 * Reads the description of an image: manifest, list of files, texts, kernel configuration.
 * @throws {InputError} naming what does not fit, or has another hash than the manifest names
 */
export function readDescription(imageFolder: string): Description {
  const manifest = readManifest(imageFolder)
  const beside = (name: string, expected: string) => {
    const text = readText(join(imageFolder, name))
    if (sha256(text) === expected) return text
    const problem = {
      key: '',
      found: sha256(text),
      expected: `the SHA-256 that the manifest names, ${expected}`,
    }
    throw new InputError(join(imageFolder, name), [problem])
  }
  const list = join(imageFolder, FILES)
  const files = checkInput(
    list,
    filesSchema,
    JSON.parse(beside(FILES, manifest.files.sha256)),
  ) as ContentFile[]
  const texts = checkInput(
    join(imageFolder, TEXTS),
    v.record(v.string(), v.string()),
    JSON.parse(beside(TEXTS, manifest.texts.sha256)),
  )
  return { manifest, files, texts, kernelConfig: beside(KERNEL_CONFIG, manifest.kernel.config) }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const found = (cause as NodeJS.ErrnoException).code ?? String(cause)
    throw new InputError(file, [{ key: '', found, expected: 'a readable file' }], { cause })
  }
}
