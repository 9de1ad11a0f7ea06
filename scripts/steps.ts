// Runs a command's steps in order and shows their progress: a task list on a terminal, plain lines elsewhere.
// Owns: the screen while a command runs. A step that fails ends the run with its error.
import { Listr } from 'listr2'
import type { OnProgress } from '../platform/progress.ts'

/** One step. `run` returns what it found in one line, which stays on the screen. */
export type Step = { title: string; run: (progress: OnProgress) => Promise<string> }

/** How long a step took, whether it succeeded or failed. */
export type StepTime = { title: string; seconds: number }

/** A line that names the slowest step; empty when no step ran. */
export function slowestStep(took: readonly StepTime[]): string {
  const [slowest] = took.toSorted((a, b) => b.seconds - a.seconds)
  if (slowest === undefined) return ''
  const total = took.reduce((sum, { seconds }) => sum + seconds, 0)
  return `slowest step: ${slowest.title}, ${slowest.seconds.toFixed(0)} s of ${total.toFixed(0)} s\n`
}

/**
 * Runs `steps` in order. Rejects when one fails or `signal` aborts.
 * A step must end by itself when the signal aborts: in order, or at once with {@link untilAborted}.
 * @param out where plain lines go: standard error when standard output carries JSON
 * @param took receives the time of each step that started
 */
export async function runSteps(
  steps: Step[],
  o: { out: NodeJS.WriteStream; signal: AbortSignal; took?: StepTime[] },
): Promise<void> {
  const timed = steps.map((step) => timedStep(step, o.took ?? []))
  if (o.out.isTTY && o.out === process.stdout) await runAsTaskList(timed, o.signal)
  else await runAsLines(timed, o)
}

function timedStep({ title, run }: Step, took: StepTime[]): Step {
  return {
    title,
    run: async (progress) => {
      const startedMs = performance.now()
      try {
        return await run(progress)
      } finally {
        took.push({ title, seconds: (performance.now() - startedMs) / 1000 })
      }
    },
  }
}

async function runAsTaskList(steps: Step[], signal: AbortSignal): Promise<void> {
  const tasks = steps.map(({ title, run }) => ({
    title,
    rendererOptions: { persistentOutput: false },
    task: async (_context: unknown, task: { title: string; output: string }) => {
      const found = await untilAborted(
        run((line) => (task.output = line)),
        signal,
      )
      task.title = `${title}: ${found}`
    },
  }))
  await new Listr(tasks, {
    registerSignalListeners: false,
    rendererOptions: { showErrorMessage: false },
  }).run()
}

async function runAsLines(steps: Step[], o: { out: NodeJS.WriteStream; signal: AbortSignal }): Promise<void> {
  for (const { title, run } of steps) {
    o.out.write(`${title}\n`)
    const found = await run((line) => o.out.write(`  ${line}\n`))
    o.signal.throwIfAborted()
    o.out.write(`${title}: ${found}\n`)
  }
}

/** Ends the wait for work that takes no signal. What the work started ends with this process. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const stop = () => aborted.reject(new Error('stopped'))
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
