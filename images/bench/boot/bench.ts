// The boot benchmark: golden image, pre-installed conventional image, and one that installs the server at boot.
// All boot on one machine. Then two boot again while the mirror has a broken package. Owns the order and count of boots.
// Fails as a bake does, or with the console of a guest that did not serve.
import { cpus } from 'node:os'
import { join } from 'node:path'
import { chooseAccel, probeKvm } from '../../boot/qemu/acceleration.ts'
import type { BuiltImage } from '../../bake/bake.ts'
import { temporaryFolder } from '../../cache.ts'
import { extractRoot } from '../../bake/extract-root.ts'
import { readSpec } from '../../spec.ts'
import { toolsTree } from '../../bake/tools-tree.ts'
import type { OnProgress } from '../../../platform/progress.ts'
import { conventionalRoot } from './conventional-root.ts'
import { CONVENTIONAL_LOCK, conventionalPackages, conventionalSpec, NPM } from './conventional.ts'
import { measureBoot, watchFailure, type Measured, type MeasureOptions, type Subject } from './measure.ts'
import { startMirror, type Served } from './mirror.ts'
import { bootReport, type BootBench, type Findings } from './report.ts'
import { runtimeTree } from './runtime-tree.ts'
import { goldenSubject, installingSubject, mirrorFiles, preinstalledSubject } from './subjects.ts'
import { SERVER_FOLDER } from '../../../contract/image-paths.ts'
import { TARBALLS } from './user-data.ts'

/** Boots per compared image. The median of three ignores one disturbed boot. */
const BOOTS = 3
/** For an emulated boot on two busy processors. On idle ones the images take 20 s and 70 s. */
const BOOT_TIMEOUT_MS = 600_000
/** npm and apt take minutes in an emulated guest. */
const INSTALL_TIMEOUT_MS = 1_200_000
/** How long to wait for a greeting after the installation failed. */
const GRACE_MS = 20_000
/** Messages of apt, cloud-init and the shell when a package cannot be installed. */
const FAILURE =
  /unmet dep|Unable to correct|but it is not|Failed to install|Failed to run module|not found|Depends:/

export type BenchOptions = {
  specFile: string
  serverEntry: string
  packageLockFile: string
  /** The conventional image's lock file when the committed lock is no longer usable. */
  localLockFile: string
  cacheDir: string
  signal: AbortSignal
}

export type Prepared = {
  golden: Subject
  preinstalled: Subject
  installing: Subject
  mirror: { whole: Served; broken: Served }
  conventionalLocked: boolean
}

/**
 * Makes the images to boot, or finds them in the cache.
 * @param folder for the mirror's files; needed as long as the mirror serves them
 */
export async function prepareBoots(
  image: Pick<BuiltImage, 'digest' | 'folder' | 'disk'>,
  folder: string,
  o: BenchOptions & { onProgress: OnProgress },
): Promise<Prepared> {
  const { cacheDir, packageLockFile, localLockFile, serverEntry, onProgress } = o
  const spec = readSpec(o.specFile)
  const tree = await runtimeTree({ spec, serverEntry, packageLockFile, tarballs: TARBALLS })
  const packages = await conventionalPackages(conventionalSpec(spec), {
    cacheDir,
    packageLockFile,
    localLockFile,
    onProgress,
    lockFile: CONVENTIONAL_LOCK,
    npm: [...tree.packages, NPM],
  })
  const tools = await toolsTree({
    lock: packages.lock,
    fetchFiles: () => Promise.resolve(packages.fetched),
    cacheDir,
  })
  const parts = { packages, tools, root: await conventionalRoot(packages, onProgress) }
  o.signal.throwIfAborted()
  onProgress('laying out the disks of the conventional images')
  const preinstalled = await preinstalledSubject(parts, image)
  const installing = await installingSubject(parts)
  o.signal.throwIfAborted()
  onProgress("packing what the mirror serves: Node's package, npm's tarballs, the server")
  const node = join(await extractRoot(image, { cacheDir }), SERVER_FOLDER, 'node')
  const mirror = await mirrorFiles(folder, { packages, tree, node })
  const golden = goldenSubject(image.disk)
  return { golden, preinstalled, installing, mirror, conventionalLocked: packages.locked }
}

/** One boot. Run the steps one after the other, so that none disturbs a measurement. `run` returns its result. */
export type BootStep = { title: string; run: () => Promise<string> }

/** The steps of the benchmark, to run in order. After the last, `report` returns the report. */
export async function bootBench(
  { digest }: Pick<BuiltImage, 'digest'>,
  prepared: Prepared,
  { cacheDir, signal }: Pick<BenchOptions, 'cacheDir' | 'signal'>,
): Promise<{ steps: BootStep[]; report: () => BootBench }> {
  const workDir = join(cacheDir, 'boot')
  const accel = await chooseAccel('auto', () => probeKvm(workDir))
  const { conventionalLocked } = prepared
  const found: Findings = {
    accel,
    cpus: cpus().length,
    digest,
    conventionalLocked,
    golden: [],
    preinstalled: [],
    installAtBoot: [],
    broken: { served: true },
    goldenServed: false,
    goldenRequests: 0,
  }
  const options = { accel, workDir, signal }
  return {
    steps: [...comparison(prepared, found, options), ...beside(prepared, found, options)],
    report: () => bootReport(found),
  }
}

type Options = Pick<MeasureOptions, 'accel' | 'workDir' | 'signal'>

function comparison(prepared: Prepared, found: Findings, options: Options): BootStep[] {
  const measure = (title: string, into: Measured[], subject: Subject, timeoutMs: number): BootStep => ({
    title,
    run: () =>
      withMirror(prepared.mirror.whole, async ({ port }) => {
        const measured = await measureBoot(subject, { ...options, mirrorPort: port, timeoutMs })
        into.push(measured)
        return said(measured)
      }),
  })
  // The images alternate, so that a slow spell of the machine affects both.
  const alternating = Array.from({ length: BOOTS }, (_, index) => [
    measure(`Golden image, boot ${index + 1}`, found.golden, prepared.golden, BOOT_TIMEOUT_MS),
    measure(
      `Pre-installed image, boot ${index + 1}`,
      found.preinstalled,
      prepared.preinstalled,
      BOOT_TIMEOUT_MS,
    ),
  ]).flat()
  const { installing } = prepared
  return [...alternating, measure('Installing at boot', found.installAtBoot, installing, INSTALL_TIMEOUT_MS)]
}

/** The two boots that show the effect of a broken package on each image. */
function beside({ mirror, golden, installing }: Prepared, found: Findings, options: Options): BootStep[] {
  const limits = { timeoutMs: INSTALL_TIMEOUT_MS, graceMs: GRACE_MS, reason: FAILURE }
  return [
    {
      title: 'Installing at boot, one package broken',
      run: () =>
        withMirror(mirror.broken, async ({ port }) => {
          const broken = await watchFailure(installing, { ...options, ...limits, mirrorPort: port })
          found.broken = broken
          return broken.served ? 'it served' : `never served: ${broken.reasons[0] ?? 'without a word'}`
        }),
    },
    {
      title: 'Golden image beside the broken mirror',
      run: () =>
        withMirror(mirror.broken, async ({ port, requests }) => {
          const where = { ...options, mirrorPort: port, timeoutMs: BOOT_TIMEOUT_MS }
          const measured = await measureBoot(golden, where)
          found.goldenServed = true
          found.goldenRequests = requests.length
          return said(measured)
        }),
    },
  ]
}

function said({ secondsToFirstForward, bytesRead, blocksRead }: Measured): string {
  return `${secondsToFirstForward} s, ${blocksRead} blocks, ${(bytesRead / 1e6).toFixed(0)} MB read`
}

async function withMirror<T>(
  served: Served,
  work: (mirror: Awaited<ReturnType<typeof startMirror>>) => Promise<T>,
): Promise<T> {
  const mirror = await startMirror(served)
  try {
    return await work(mirror)
  } finally {
    await mirror.close()
  }
}

/** A folder for the mirror's files. */
export const benchFolder = (cacheDir: string) => temporaryFolder(cacheDir, 'bench-boot')
