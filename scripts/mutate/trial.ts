// One run of test files in a copy of the tree. Owns: what passed, what failed, and whether an assertion failed.
// A test that fails because the changed program crashes proves little. Leaves no process behind.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { run } from 'node:test'
import { endProcesses } from '../processes.ts'

export type Failure = { test: string; why: string; byAssertion: boolean }

export type Trial = { passed: { file: string; test: string }[]; failures: Failure[]; timedOut: boolean }

export type TrialOptions = {
  /** The copy of the tree. */
  tree: string
  /** Test files, relative to the tree. */
  files: readonly string[]
  /** Only the test with this title. */
  title?: string | undefined
  /** Temporary files of the tests go here, and are removed. */
  temporary: string
  signal: AbortSignal
  /** The first failed assertion is enough. */
  stopAtAssertion: boolean
}

/** The slowest of these files takes a few seconds on a quiet machine; past this it hangs. */
const TIMEOUT_MS = 120_000

/** Runs the files one after another. @throws when `signal` aborts */
export async function runTrial(o: TrialOptions): Promise<Trial> {
  mkdirSync(o.temporary, { recursive: true })
  const enough = new AbortController()
  const overdue = AbortSignal.timeout(TIMEOUT_MS)
  const trial: Trial = { passed: [], failures: [], timedOut: false }
  try {
    const signal = AbortSignal.any([o.signal, overdue, enough.signal])
    const events = run({
      files: o.files.map((file) => join(o.tree, file)),
      concurrency: 1,
      cwd: o.tree,
      env: { ...process.env, TMPDIR: o.temporary },
      signal,
      ...(o.title === undefined ? {} : { testNamePatterns: [exactly(o.title)] }),
    })
    const reading = (async () => {
      for await (const event of events) {
        note(event as TestEvent, trial)
        if (o.stopAtAssertion && trial.failures.some(({ byAssertion }) => byAssertion)) enough.abort()
      }
    })()
    await untilStopped(reading, signal)
  } finally {
    await endProcesses(o.temporary)
    rmSync(o.temporary, { recursive: true, force: true })
  }
  o.signal.throwIfAborted()
  return { ...trial, timedOut: overdue.aborted }
}

/** Waits for the work or the signal. A test in an endless loop hears no signal. */
async function untilStopped(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const stopped = Promise.withResolvers<void>()
  if (signal.aborted) stopped.resolve()
  signal.addEventListener('abort', () => stopped.resolve(), { once: true })
  await Promise.race([work, stopped.promise])
}

function exactly(title: string): RegExp {
  return new RegExp(`^${title.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}$`)
}

type TestEvent = { type: string; data: object }

function note({ type, data }: TestEvent, { passed, failures }: Trial): void {
  if (type !== 'test:pass' && type !== 'test:fail') return
  const {
    name,
    file = '',
    skip,
    details,
  } = data as {
    name: string
    file?: string
    skip?: string | boolean
    details?: { type?: string; error?: { cause?: unknown; message?: string } }
  }
  if (type === 'test:pass') {
    // node:test reports a file without a test of this title as one passed test with the file's name.
    if (skip === undefined && details?.type !== 'suite' && !file.endsWith(name))
      passed.push({ file, test: name })
    return
  }
  const cause = (details?.error?.cause ?? details?.error) as { message?: string; code?: string } | undefined
  const why = (cause?.message ?? 'no reason').split('\n')[0] ?? ''
  failures.push({ test: name, why, byAssertion: cause?.code === 'ERR_ASSERTION' })
}
