// Bakes an image: spec and lock in, a bootable disk named by its digest out. Owns: the order of the stages, and the
// choice of another lock when locked packages are gone.
// Fails with InputError (spec, lock), MissingPackagesError, or the message of the tool that failed.
import type { KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { InputError } from '../../input/problems.ts'
import { fetchLocked, MissingPackagesError } from '../archive/fetch.ts'
import type { LockedFiles, StageContext } from '../cache.ts'
import { descriptionTexts, describeRoot } from '../describe/describe-root.ts'
import { writeProvenance } from '../describe/provenance.ts'
import { readKey } from '../formats/dsse.ts'
import { diffLocks } from '../lock/changes.ts'
import { checkLockFits, relock } from '../lock/relock.ts'
import { readLock, type Lock } from '../lock-file.ts'
import type { OnProgress } from '../../platform/progress.ts'
import { readSpec } from '../spec.ts'
import { baseLayer } from './base-layer.ts'
import { efiPartition, kernelCommandLine } from './efi-partition.ts'
import { imageFolder } from './image-folder.ts'
import { initrd } from './initrd.ts'
import { kernelFiles } from './kernel-package.ts'
import { nodeRuntime } from './node-runtime.ts'
import { explainBakeError, requirePrograms, requireRunnable, requireWritable } from './preflight.ts'
import { pruneCache } from './prune-cache.ts'
import { rootFilesystem } from './root-filesystem.ts'
import { readSecureBootKey, type SecureBootFiles, type SecureBootKey } from './secure-boot.ts'
import { bundleServer, type ServerBundle } from './server-bundle.ts'
import { targetTree, toolsTree } from './tools-tree.ts'
import { requireUserNamespaces } from './user-namespaces.ts'
import { readVerity } from './verity.ts'

export type BuildOptions = {
  specFile: string
  lockFile: string
  cacheDir: string
  /** Where images go: `<outDir>/<digest>/{disk.raw,manifest.json}`, and `<outDir>/latest` points at the newest. */
  outDir: string
  /** The server's main module. */
  serverEntry: string
  onProgress?: OnProgress
  /** When locked packages are gone, write a new lock to this file and continue instead of failing. */
  relockInto?: string
  /** npm's lock; the repository's own by default. */
  packageLockFile?: string
  /** An archive to use before the mirror; `$MAILFLEET_ARCHIVE` by default. */
  archive?: string
  /** A private key in PEM that signs the image's provenance. It is read and not stored. */
  signingKeyFile?: string
  /** Sign the kernel image for Secure Boot. */
  secureBoot?: SecureBootFiles
}

export type BuiltImage = {
  /** SHA-256 of disk.raw. */
  digest: string
  folder: string
  disk: string
  /** Size of the disk in bytes. */
  bytes: number
  /** Every stage came from the cache. */
  cached: boolean
  /** The packages are those of the lock. */
  locked: boolean
  /** Differences of the packages from the lock, one line each. */
  relockDifferences: string[]
  /** The tools tree's folder, for programs that later run the image's own tools. */
  tools: string
}

const PACKAGE_LOCK = join(import.meta.dirname, '../../package-lock.json')

/**
 * Bakes an image, or finds it baked. A failed bake leaves no image folder and nothing in the cache's tmp/.
 * @throws {InputError} (spec, lock), {FetchError}, or an error that names the machine's problem
 */
export async function buildImage(options: BuildOptions): Promise<BuiltImage> {
  try {
    return await build(options)
  } catch (error) {
    throw explainBakeError(error, options)
  }
}

async function build(options: BuildOptions): Promise<BuiltImage> {
  const { specFile, lockFile, cacheDir, relockInto, archive, onProgress = () => {} } = options
  const { packageLockFile = PACKAGE_LOCK } = options
  const startedAt = new Date()
  const spec = readSpec(specFile)
  const lock = readLock(lockFile)
  const keys = readKeys(options)
  requirePrograms()
  requireWritable(options)
  await requireUserNamespaces()
  await requireRunnable(spec.architecture)
  const bundle = await bundleServer(spec, options.serverEntry)
  await pruneCache(cacheDir)
  const fetching = { cacheDir, onProgress, ...(archive === undefined ? {} : { archive }) }
  const contextOf = (used: Lock): StageContext => {
    let fetched: Promise<LockedFiles> | undefined
    const fetchFiles = () => (fetched ??= fetchLocked(used, fetching))
    return { spec, lock: used, fetchFiles, cacheDir, onProgress }
  }
  const o = { ...options, packageLockFile, keys, bundle, startedAt }
  try {
    checkLockFits(spec, lock, lockFile, packageLockFile)
    return await bake(contextOf(lock), o, null)
  } catch (error) {
    const outdated =
      error instanceof MissingPackagesError || (error instanceof InputError && error.file === lockFile)
    if (!outdated || relockInto === undefined) throw error
    onProgress(error.message)
    const fresh = await relock(spec, relockInto, { ...fetching, packageLockFile })
    const differences = diffLocks(lock, fresh)
    onProgress(`the image differs from the lock in ${differences.length} packages:`)
    for (const line of differences) onProgress(`  ${line}`)
    return bake(contextOf(fresh), o, differences)
  }
}

type Keys = { signingKey?: KeyObject; secureBoot?: SecureBootKey }

function readKeys({ signingKeyFile, secureBoot }: BuildOptions): Keys {
  const keys: Keys = {}
  if (signingKeyFile !== undefined) keys.signingKey = readKey(signingKeyFile, 'private')
  if (secureBoot !== undefined) keys.secureBoot = readSecureBootKey(secureBoot)
  return keys
}

type BakeInputs = {
  specFile: string
  outDir: string
  packageLockFile: string
  keys: Keys
  bundle: ServerBundle
  startedAt: Date
}

/** @param relocked where the packages differ from the lock; null when the lock is the one that was asked for */
async function bake(context: StageContext, o: BakeInputs, relocked: string[] | null): Promise<BuiltImage> {
  const { spec, lock, cacheDir, onProgress } = context
  const { bundle, outDir, packageLockFile, specFile, startedAt } = o
  const { signingKey, ...secureBoot } = o.keys
  const tools = await toolsTree(context)
  const target = await targetTree(context, tools)
  const [base, kernel, runtime] = await allDone([
    baseLayer(context),
    kernelFiles(context, tools),
    nodeRuntime(context),
  ] as const)
  const [root, ramdisk] = await allDone([
    rootFilesystem(context, { tools, base, kernel, runtime, bundle }),
    initrd(context, { tools, target, kernel }),
  ] as const)
  const { packages } = bundle
  const [esp, described] = await allDone([
    efiPartition(context, { tools, target, kernel, initrd: ramdisk, root, ...secureBoot }),
    describeRoot(context, { tools, base, root, packages, packageLockFile }),
  ] as const)
  const verity = readVerity(root)
  const parts = {
    locked: relocked === null,
    kernel,
    initrd: ramdisk,
    root,
    esp,
    rootHash: verity.rootHash,
    kernelCommandLine: kernelCommandLine(spec, verity),
    server: { bytes: bytesOf(bundle), packages },
  }
  const image = await imageFolder({
    parts: { spec, lock, tools, root, esp },
    describe: (disk) => descriptionTexts({ spec, lock }, described, parts, disk),
    cacheDir,
    outDir,
    onProgress,
  })
  const { disk, folder } = image
  const { debian, bundled } = described
  const subject = { digest: disk.digest, folder }
  const source = { lock, debian, specFile, bundled, image: subject, startedAt }
  await writeProvenance({ ...source, ...(signingKey && { signingKey }) })
  const stages = [tools, base, kernel, runtime, root, ramdisk, esp, ...described.stages, image]
  return {
    digest: disk.digest,
    folder,
    disk: join(folder, 'disk.raw'),
    bytes: disk.bytes,
    cached: stages.every((stage) => stage.cached),
    locked: relocked === null,
    relockDifferences: relocked ?? [],
    tools: tools.path,
  }
}

const bytesOf = ({ files }: ServerBundle) => files.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0)

/** Waits for all tasks, then throws the first error, so that no task is still running then. */
async function allDone<T extends readonly unknown[]>(tasks: { [K in keyof T]: Promise<T[K]> }): Promise<T> {
  const results = await Promise.allSettled(tasks)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as unknown as T
}
