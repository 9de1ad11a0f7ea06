// Bakes an image: spec and lock in, a bootable disk named by its digest out. Owns: the order of the stages, and what
// happens when locked packages are gone.
// Fails with InputError (spec, lock), MissingPackagesError, or the message of the tool that failed.
import type { KeyObject } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { InputError } from '../../input/problems.ts'
import { bundleServer, runtime, type Bundle } from './application.ts'
import { baseLayer } from './base-layer.ts'
import { pruneCache } from '../cache.ts'
import { debianRelease, readContents, rootContents } from '../describe/contents.ts'
import { debFacts, readDebFacts } from '../describe/deb-facts.ts'
import { efiPartition } from './disk.ts'
import { readKey } from '../formats/dsse.ts'
import { fetchLocked, MissingPackagesError, type Fetch } from '../archive/fetch.ts'
import { initrd } from './initrd.ts'
import { kernelFiles } from './kernel-package.ts'
import { diffLocks } from '../lock/changes.ts'
import { architectureProblems, lockText, readLock, writeLock, type Lock } from '../lock-file.ts'
import { lockedNpm, npmComponents } from '../lock/npm.ts'
import { resolveLock } from '../lock/resolve.ts'
import { imageFolder } from './image-folder.ts'
import { IMAGE_LOCK, manifestTexts } from '../describe/manifest.ts'
import type { OnProgress } from '../../platform/progress.ts'
import { writeProvenance } from '../describe/provenance.ts'
import { rootFilesystem } from './root-filesystem.ts'
import { debsInImage, SBOM, sbomText } from '../describe/sbom.ts'
import { readSecureBootKey, type SecureBootFiles, type SecureBootKey } from './secure-boot.ts'
import { lockedPartDigest, readSpec, type Spec } from '../spec.ts'
import { targetTree, toolsTree } from './tools-tree.ts'
import { bakeTrouble, requirePrograms, requireRunnable, requireWritable } from './preflight.ts'
import { requireUserNamespaces } from './user-namespaces.ts'

export type BuildOptions = {
  specFile: string
  lockFile: string
  cacheDir: string
  /** Where images go: `<outDir>/<digest>/{disk.raw,manifest.json}`, and `<outDir>/latest` points at the newest. */
  outDir: string
  /** The server's main module. */
  serverEntry: string
  onProgress?: OnProgress
  /** When locked packages are gone: lock anew into this file and go on, rather than fail. */
  relockInto?: string
  /** npm's lock; the repository's own by default. */
  packageLockFile?: string
  /** An archive to ask before the mirror; `$MAILFLEET_ARCHIVE` by default. */
  archive?: string
  /** A private key in PEM to sign the image's provenance with. It is read and not kept. */
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
  /** Nothing had to be made: the inputs were those of an earlier bake. */
  cached: boolean
  /** Made of what the lock names. */
  locked: boolean
  /** Where the packages differ from the lock, for people. */
  relockDifferences: string[]
  /** The tools tree's folder, for what runs the image's own tools later. */
  tools: string
}

const PACKAGE_LOCK = join(import.meta.dirname, '../../package-lock.json')

/**
 * Bakes an image, or finds it baked. What fails leaves nothing under an image's name, and nothing in the cache's tmp/.
 * @throws {InputError} (spec, lock), {FetchError}, or an error that says what of the machine stood in the way
 */
export async function buildImage(options: BuildOptions): Promise<BuiltImage> {
  try {
    return await build(options)
  } catch (error) {
    throw bakeTrouble(error, options)
  }
}

async function build(options: BuildOptions): Promise<BuiltImage> {
  const { specFile, lockFile, cacheDir, relockInto, onProgress = () => {} } = options
  const spec = readSpec(specFile)
  const lock = readLock(lockFile)
  const signing = options.signingKeyFile
  const signingKey = signing === undefined ? {} : { signingKey: readKey(signing, 'private') }
  const secureBootKey = options.secureBoot && readSecureBootKey(options.secureBoot)
  const known = { startedAt: new Date(), ...signingKey, ...(secureBootKey && { secureBootKey }) }
  requirePrograms()
  requireWritable(options)
  await requireUserNamespaces()
  await requireRunnable(spec.architecture)
  const bundle = await bundleServer(spec, options.serverEntry)
  await pruneCache(cacheDir)
  try {
    checkLockFits(spec, lock, lockFile, options.packageLockFile ?? PACKAGE_LOCK)
    return await bake({
      ...options,
      ...known,
      onProgress,
      spec,
      lock,
      bundle,
      locked: true,
      relockDifferences: [],
    })
  } catch (error) {
    const outdated =
      error instanceof MissingPackagesError || (error instanceof InputError && error.file === lockFile)
    if (!outdated || relockInto === undefined) throw error
    onProgress(error.message)
    const fresh = await relock(spec, relockInto, options)
    const relockDifferences = diffLocks(lock, fresh)
    onProgress(`the image differs from the lock in ${relockDifferences.length} packages:`)
    for (const line of relockDifferences) onProgress(`  ${line}`)
    return bake({
      ...options,
      ...known,
      onProgress,
      spec,
      lock: fresh,
      bundle,
      locked: false,
      relockDifferences,
    })
  }
}

/** An earlier local lock is kept while everything it names can be had, so that one relock serves many bakes. */
async function relock(spec: Spec, relockInto: string, options: BuildOptions): Promise<Lock> {
  const { cacheDir, onProgress = () => {}, packageLockFile = PACKAGE_LOCK, archive } = options
  if (existsSync(relockInto)) {
    try {
      const earlier = readLock(relockInto)
      checkLockFits(spec, earlier, relockInto, packageLockFile)
      await fetchLocked(earlier, { cacheDir, onProgress, ...(archive === undefined ? {} : { archive }) })
      return earlier
    } catch (error) {
      onProgress(`${relockInto} no longer serves: ${(error as Error).message}`)
    }
  }
  const fresh = await resolveLock(spec, { cacheDir, packageLockFile, suiteAlone: true, onProgress })
  mkdirSync(dirname(relockInto), { recursive: true })
  writeLock(relockInto, fresh)
  return fresh
}

/** @throws {InputError} about the lock when spec or npm's lock have moved on without it. */
function checkLockFits(spec: Spec, lock: Lock, lockFile: string, packageLockFile: string): void {
  const problems = architectureProblems(lock, spec.architecture)
  if (lock.spec !== lockedPartDigest(spec)) {
    problems.push({ key: 'spec', found: lock.spec, expected: "the digest of today's spec; lock anew" })
  }
  const npm = lockedNpm(spec, packageLockFile)
  const integrities = ({ node, native }: Pick<Lock, 'node' | 'native'>) =>
    JSON.stringify([node, ...native].map(({ integrity }) => integrity).sort())
  if (integrities(npm) !== integrities(lock)) {
    problems.push({
      key: 'native',
      found: 'other npm packages',
      expected: 'those of package-lock.json; lock anew',
    })
  }
  if (problems.length > 0) throw new InputError(lockFile, problems)
}

type Bake = BuildOptions & {
  onProgress: OnProgress
  spec: Spec
  lock: Lock
  bundle: Bundle
  startedAt: Date
  signingKey?: KeyObject
  secureBootKey?: SecureBootKey
  locked: boolean
  relockDifferences: string[]
}

async function bake(options: Bake): Promise<BuiltImage> {
  const { spec, lock, bundle, cacheDir, outDir, onProgress, locked, relockDifferences, archive } = options
  const secureBoot = options.secureBootKey && { secureBoot: options.secureBootKey }
  const fetching = { cacheDir, onProgress, ...(archive === undefined ? {} : { archive }) }
  let fetched: ReturnType<Fetch> | undefined
  const obtain: Fetch = () => (fetched ??= fetchLocked(lock, fetching))

  const tools = await toolsTree(lock, obtain, cacheDir)
  const target = await targetTree(lock, tools, obtain, cacheDir)
  const shared = { spec, lock, obtain, cacheDir, onProgress, tools: tools.path }
  const [base, kernel, node] = await allDone([
    baseLayer(shared),
    kernelFiles(shared),
    runtime(lock, obtain, cacheDir),
  ] as const)
  const [root, ramdisk] = await allDone([
    rootFilesystem({ ...shared, tools, base, kernel, runtime: node, bundle }),
    initrd({ ...shared, target, kernel }),
  ] as const)
  const [esp, listed, debs] = await allDone([
    efiPartition({ ...shared, tools, target, kernel, initrd: ramdisk, root, ...secureBoot }),
    rootContents({ ...shared, tools, base, root }),
    debFacts(debsInImage(lock), shared),
  ] as const)
  const contents = readContents(listed)
  const npm = npmComponents(options.packageLockFile ?? PACKAGE_LOCK, bundle.packages)
  const described = {
    ...{ spec, lock, bundled: npm, sizes: contents.sizesByPackage, facts: readDebFacts(debs) },
    debian: debianRelease(contents),
  }
  const image = await imageFolder({
    parts: { spec, lock, tools, root, esp },
    describe: (disk) => ({
      ...manifestTexts({ spec, lock, locked, disk, kernel, initrd: ramdisk, root, esp, bundle, contents }),
      [SBOM]: sbomText({ ...described, digest: disk.digest }),
      [IMAGE_LOCK]: lockText(lock),
    }),
    ...{ cacheDir, outDir, onProgress },
  })
  const { digest } = image.disk
  await writeProvenance({
    ...options,
    debian: described.debian,
    bundled: npm,
    image: { digest, folder: image.folder },
  })
  const stages = [tools, base, kernel, node, root, ramdisk, esp, listed, debs, image]
  return {
    digest,
    folder: image.folder,
    disk: join(image.folder, 'disk.raw'),
    bytes: image.disk.bytes,
    cached: stages.every((stage) => stage.cached),
    locked,
    relockDifferences,
    tools: tools.path,
  }
}

/** Waits for all, then fails with the first failure: nothing is left running behind an error. */
async function allDone<T extends readonly unknown[]>(tasks: { [K in keyof T]: Promise<T[K]> }): Promise<T> {
  const results = await Promise.allSettled(tasks)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as unknown as T
}
