// `mailfleet test`: runs the tests with node:test, prints their report, and writes build/reports/test.json.
// Light files run in parallel. Files that boot a machine or kill processes under load run alone afterwards.
import { globSync, mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { Readable } from 'node:stream'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import type { Command } from 'commander'
import { InputError } from '../../input/problems.ts'
import type { CommandContext } from '../options.ts'
import { endProcesses } from '../processes.ts'
import { untilAborted } from '../steps.ts'
import { writeReport } from '../report-file.ts'

export default function addTests(program: Command, { project, signal }: CommandContext): void {
  program
    .command('test')
    .description('run the tests; writes build/reports/test.json')
    .argument('[path...]', 'only test files whose path contains one of these')
    .option('--full', 'also what takes long: more power cuts, both-ways proofs, a real browser')
    .action(async (only: string[], { full = false }: { full?: boolean }) => {
      process.exitCode = await runTests({ root: project.root, full, only, signal })
    })
}

type TestEvent = { type: string; data: Record<string, unknown> }
type Report = {
  passed: number
  failed: number
  skipped: { name: string; why: string }[]
  groups: Record<string, number>
}

/** Runs alone: needs the machine for itself. */
const ALONE = /\.(vm|image)(\.full)?\.test\.ts$|\.sigkill\.test\.ts$/
/** Only with --full: takes minutes more. */
const FULL_ONLY = /\.full\.test\.ts$/
/** A heavy file boots several emulated machines at half a minute each; past this it hangs. */
const FILE_TIMEOUT_MS = 15 * 60_000

/**
 * Runs every test under test/ (or those whose path contains one of `only`).
 * When `signal` aborts, the running test file ends, with every process that it started.
 * @returns the process exit code: 0 when nothing failed and something ran.
 * @throws {InputError} when `only` fits no file
 */
export async function runTests(o: {
  root: string
  full: boolean
  only: string[]
  signal: AbortSignal
}): Promise<number> {
  const files = globSync('test/**/*.test.ts', { cwd: o.root })
    .sort()
    .filter((file) => o.full || !FULL_ONLY.test(file))
    .filter((file) => o.only.length === 0 || o.only.some((part) => file.includes(part)))
  if (files.length === 0 && o.only.length > 0) {
    const expected = 'part of the path of a test file; some run only with --full'
    throw new InputError('the command', [{ key: 'path', found: o.only.join(' '), expected }])
  }
  const phases = [
    { files: files.filter((file) => !ALONE.test(file)), concurrency: 2 },
    { files: files.filter((file) => ALONE.test(file)), concurrency: 1 },
  ].filter((phase) => phase.files.length > 0)
  if (o.full) process.env['MAILFLEET_FULL'] = '1'
  // Files that a test leaves behind are removed with this folder.
  using temporary = mkdtempDisposableSync(join(tmpdir(), 'mailfleet-'))
  process.env['TMPDIR'] = temporary.path
  const report: Report = { passed: 0, failed: 0, skipped: [], groups: {} }
  try {
    await untilAborted(print(runPhases({ ...o, phases, report })), o.signal)
  } finally {
    await endProcesses(temporary.path)
  }
  writeReport(join(o.root, 'build/reports'), 'test.json', report)
  if (report.failed > 0) return 1
  if (report.passed > 0) return 0
  console.error('no test ran')
  return 1
}

async function print(events: AsyncGenerator<TestEvent>): Promise<void> {
  const text = Readable.from(events).compose(new spec())
  for await (const chunk of text) process.stdout.write(chunk as string)
}

type Phases = {
  root: string
  phases: { files: string[]; concurrency: number }[]
  report: Report
  signal: AbortSignal
}

/** After `signal` aborts, no further file starts. */
async function* runPhases({ root, phases, report, signal }: Phases): AsyncGenerator<TestEvent> {
  const started = Date.now()
  for (const { files, concurrency } of phases) {
    const paths = files.map((file) => join(root, file))
    const options = { files: paths, concurrency, timeout: FILE_TIMEOUT_MS, cwd: root, signal }
    for await (const event of run(options)) {
      count(event as TestEvent, root, report)
      if (!isPhaseSummary(event as TestEvent)) yield event as TestEvent
    }
  }
  for (const message of summaryFigures(report, Date.now() - started))
    yield { type: 'test:diagnostic', data: { message, nesting: 0, level: 'info' } }
}

/** The lines of the summary. Most AWS tests need moto, so the summary counts those skipped for lack of it. */
export function summaryFigures({ passed, failed, skipped }: Report, tookMs: number): string[] {
  const withoutMoto = skipped.filter(({ why }) => why.startsWith('moto is not installed')).length
  const because = withoutMoto === 0 ? '' : `, ${withoutMoto} of them because moto is not installed`
  return [
    `tests ${passed + failed + skipped.length}`,
    `pass ${passed}`,
    `fail ${failed}`,
    'cancelled 0',
    `skipped ${skipped.length}${because}`,
    'todo 0',
    `duration_ms ${tookMs}`,
  ]
}

/** The runner's own closing lines of one phase, which the total replaces. */
function isPhaseSummary({ type, data }: TestEvent): boolean {
  if (type === 'test:summary') return true
  return type === 'test:diagnostic' && data['file'] === undefined && data['nesting'] === 0
}

function count({ type, data }: TestEvent, root: string, report: Report): void {
  if (type !== 'test:pass' && type !== 'test:fail') return
  const details = data['details'] as { type?: string } | undefined
  if (details?.type === 'suite' && type === 'test:pass') return
  const name = String(data['name'])
  if (data['skip'] !== undefined) {
    report.skipped.push({ name, why: typeof data['skip'] === 'string' ? data['skip'] : '' })
    return
  }
  if (type === 'test:fail') report.failed++
  else report.passed++
  const group = groupOf(relative(root, String(data['file'])))
  report.groups[group] = (report.groups[group] ?? 0) + 1
}

/** What a test needs, if its name says so: a machine, a baked image, the AWS emulator, Pulumi's mocks. */
const KIND = /\.(vm|image|moto|mocks)(\.full)?\.test\.ts$/
/** The same cases on each engine of the queue. */
const CONTRACT = /^test\/server\/queue\/(embedded|aws)\/engine\.contract\.test\.ts$/

/** test/server/smtp/drain.test.ts → server; anything.vm.test.ts → vm; …/aws/engine.contract.test.ts → contractAws. */
function groupOf(file: string): string {
  const engine = CONTRACT.exec(file)?.[1]
  if (engine !== undefined) return engine === 'aws' ? 'contractAws' : 'contractEmbedded'
  return KIND.exec(file)?.[1] ?? file.split('/')[1]?.replace('.test.ts', '') ?? 'other'
}
