// `mailfleet start`: the main job on this machine, from the lock to the report.
// Owns: the order of the steps, what is printed, and build/reports/start.json. Fails with the error of the failed step.
import { existsSync, mkdirSync, readdirSync, rmSync, statfsSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { Command } from 'commander'
import { bootTest } from '../../images/boot/boot-test.ts'
import { readSignedReceipt, RECEIPT, type Receipt } from '../../images/boot/receipt.ts'
import { receiptSigningKey, trustedReceiptKeys } from '../../images/boot/receipt-key.ts'
import { buildImage, type BuiltImage } from '../../images/bake/bake.ts'
import { extractRoot } from '../../images/bake/extract-root.ts'
import { sandboxLauncher } from '../../infra/local/launcher.ts'
import { renderStartPage } from '../../storm/page/report-page.ts'
import type { StormReport, TimelineRow } from '../../storm/report.ts'
import { stormScenario } from '../../storm/scenario.ts'
import { runStorm } from '../../storm/storm.ts'
import { InputError } from '../../input/problems.ts'
import type { OnProgress } from '../../platform/progress.ts'
import { seconds, type CommandContext, type CommonOptions } from '../options.ts'
import { checksText, machineChecks, runChecks } from '../machine-checks.ts'
import { figuresTable, startFailures, type FullReport } from '../start-report.ts'
import { runSteps, slowestStep, untilAborted, type Step, type StepTime } from '../steps.ts'
import { writeReport } from '../report-file.ts'
import { writeFileAtomic } from '../../platform/atomic-file.ts'

type StartOptions = CommonOptions & {
  retest: boolean
  /** For each boot of the boot test. */
  timeoutMs: number
}

type Done = { image?: BuiltImage; receipt?: Receipt; storm?: StormReport; report?: FullReport }

/** statfs(2): TMPFS_MAGIC. */
const TMPFS = 0x01021994

export default function addStart(program: Command, context: CommandContext): void {
  program
    .command('start')
    .description(
      'the main job on this machine: bake the image, boot-test it, run a fleet of it through a storm, report',
    )
    .option('--json', 'print the report as JSON on standard output, progress on standard error')
    .option('--retest', 'boot-test the image again even if it has a receipt')
    .option('--timeout <seconds>', 'give up a boot after this long, even if it makes progress', seconds, 1800)
    .action(
      async ({
        json = false,
        retest = false,
        timeout,
      }: {
        json?: boolean
        retest?: boolean
        timeout: number
      }) => {
        process.exitCode = await start({ ...context, json, retest, timeoutMs: timeout * 1000 })
      },
    )
}

/** @returns the exit code: 0 only if the boot test passed, the fleet scaled both ways, and nothing was lost */
async function start(o: StartOptions): Promise<number> {
  const startedMs = Date.now()
  const done: Done = {}
  const steps: Step[] = [
    { title: 'Check this machine', run: (progress) => checkMachine(o, progress) },
    { title: 'Bake', run: (progress) => bake(done, o, progress) },
    { title: 'Boot test', run: (progress) => prove(done, o, progress) },
    { title: 'Fleet in a storm', run: (progress) => storm(done, o, progress) },
    { title: 'Report', run: () => Promise.resolve(writeStartReport(done, o, startedMs)) },
  ]
  const out = o.json ? process.stderr : process.stdout
  const took: StepTime[] = []
  try {
    await runSteps(steps, { out, signal: o.signal, took })
  } finally {
    out.write(slowestStep(took))
  }
  const report = done.report!
  if (o.json) console.log(JSON.stringify(report, null, 2))
  else console.log(`\n${figuresTable(report)}`)
  const wrong = startFailures(report)
  for (const line of wrong) console.error(line)
  return wrong.length === 0 ? 0 : 1
}

/** The quick checks of `mailfleet doctor`. @throws {Error} with every problem and its mend */
async function checkMachine({ project }: StartOptions, onProgress: OnProgress): Promise<string> {
  const results = await runChecks(machineChecks(project).filter(({ quick }) => quick))
  const problems = results.filter(({ status }) => status === 'problem')
  if (problems.length > 0) throw new Error(checksText(problems))
  const warnings = results.filter(({ status }) => status === 'warning')
  for (const { name, found } of warnings) onProgress(`${name}: ${found}`)
  return warnings.length === 0
    ? 'nothing is missing'
    : `${warnings.length} warnings; see npx mailfleet doctor`
}

async function bake(done: Done, { project, signal }: StartOptions, onProgress: OnProgress): Promise<string> {
  const { specFile, lockFile, cacheDir, serverEntry, imagesDir, localLockFile } = project
  const baking = buildImage({
    specFile,
    lockFile,
    cacheDir,
    serverEntry,
    onProgress,
    outDir: imagesDir,
    relockInto: localLockFile,
  })
  done.image = await untilAborted(baking, signal)
  const { digest, bytes, cached } = done.image
  return `${digest.slice(0, 12)}, ${megabytes(bytes)}${cached ? ', unchanged since it was baked' : ''}`
}

async function prove(done: Done, o: StartOptions, onProgress: OnProgress): Promise<string> {
  const image = done.image!
  const earlier = o.retest ? undefined : earlierReceipt(image, onProgress)
  const proven = earlier !== undefined
  done.receipt = earlier ?? (await bootTest(image, bootOptions(o, onProgress)))
  const { accel, secondsToFirstForward, bytesRead } = done.receipt
  const found = `first mail forwarded after ${secondsToFirstForward} s (${accel}), ${megabytes(bytesRead)} read`
  return proven ? `${found}; these bytes have their receipt (--retest boots them again)` : found
}

const bootOptions = ({ project, signal, timeoutMs }: StartOptions, onProgress: OnProgress) => ({
  cacheDir: project.cacheDir,
  onProgress,
  signal,
  timeoutMs,
  receiptKey: receiptSigningKey(process.env),
})

/**
 * The signed receipt of an earlier boot test of this disk. An unusable receipt is reported, and the image is
 * booted again.
 */
function earlierReceipt({ folder, digest }: BuiltImage, onProgress: OnProgress): Receipt | undefined {
  if (!existsSync(join(folder, RECEIPT))) return undefined
  const trusted = trustedReceiptKeys(process.env)
  try {
    return readSignedReceipt(folder, digest, trusted).receipt
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    onProgress(`booting it again, its receipt does not count: ${error.message}`)
    return undefined
  }
}

async function storm(done: Done, o: StartOptions, onProgress: OnProgress): Promise<string> {
  const { cacheDir, runDir } = o.project
  const root = await untilAborted(extractRoot(done.image!, { cacheDir, onProgress }), o.signal)
  const directory = freshDirectory(runDir)
  const volatile = statfsSync(directory).type === TMPFS
  if (volatile) onProgress(`${directory} is on a tmpfs: the queue of this run would not survive a power cut`)
  done.storm = await runStorm({
    directory,
    volatile,
    signal: o.signal,
    launcher: sandboxLauncher(root),
    scenario: stormScenario,
    progress: onProgress,
    onRow: (row) => onProgress(rowLine(row)),
  })
  const { fleet, mail } = done.storm
  return `1 → ${fleet.maxInstances} → ${fleet.finalInstances} instances; ${mail.accepted} accepted, ${mail.lost} lost`
}

function writeStartReport(done: Done, { project }: StartOptions, startedMs: number): string {
  const { image, receipt, storm } = done
  if (!image || !receipt || !storm) throw new Error('a step before the report did not finish')
  const { digest, bytes, cached, locked, relockDifferences } = image
  const { accel, secondsToFirstForward, bytesRead, networkCut, cleanShutdown, volatileSpool } = receipt
  done.report = {
    ...storm,
    image: { digest, bytes, cached, locked, relockDifferences },
    boot: { accel, secondsToFirstForward, bytesRead, networkCut, cleanShutdown, volatileSpool },
    seconds: Math.round((Date.now() - startedMs) / 100) / 10,
  }
  writeReport(project.reportsDir, 'start.json', done.report)
  const page = join(project.reportsDir, 'start.html')
  writeFileAtomic(page, renderStartPage(done.report))
  return relative(project.root, page)
}

/** A directory of this run alone. What ended runs left is removed, so the last run's logs stay until the next. */
function freshDirectory(runDir: string): string {
  mkdirSync(runDir, { recursive: true })
  for (const name of readdirSync(runDir)) {
    if (!existsSync(`/proc/${name.split('-')[1]}`))
      rmSync(join(runDir, name), { recursive: true, force: true })
  }
  const directory = join(runDir, `storm-${process.pid}`)
  mkdirSync(directory, { recursive: true })
  return directory
}

function rowLine({ tMs, offeredPerSecond, demand, desired, inService }: TimelineRow): string {
  const at = `${(tMs / 1000).toFixed(0).padStart(3)} s`
  const load = `${offeredPerSecond.toFixed(0).padStart(4)} offered/s`
  return `${at}  ${load}  demand ${String(demand ?? '?').padStart(4)}  ${inService} of ${desired} instances in service`
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`
}
