// Waits for work in a guest until it is done, a limit is reached, the guest goes down, or the caller stops it.
// Owns the text of a boot test's error, with the guest's last console lines.
import { signsOf, watchBounds, type BootBounds } from './boot-bound.ts'
import { powerDown, TAIL_LINES, type RunningMachine } from './qemu/machine.ts'

/** The server drains for at most 30 s here. */
const POWER_DOWN_MS = 300_000
/** A guest that has just started misses a press, because the watcher of its button starts last. */
const PRESS_AGAIN_MS = 15_000

export type GuestWatchOptions = BootBounds & {
  /** The capture of the guest's frames, which counts as a sign of life. */
  capture?: string
  signal?: AbortSignal | undefined
  /** The last finished step, for the error. */
  lastStep?: () => string
}

/** Runs `work` while the guest runs. @throws {Error} with the problem and the last console lines */
export async function whileItRuns<T>(
  running: RunningMachine,
  { signal: given, capture, lastStep, ...bounds }: GuestWatchOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController()
  const watched = watchBounds(signsOf(running, capture), bounds, (error) => over.abort(error))
  const signal = given ? AbortSignal.any([over.signal, given]) : over.signal
  signal.throwIfAborted()
  const stopped = Promise.withResolvers<never>()
  signal.addEventListener('abort', () => stopped.reject(signal.reason as Error), { once: true })
  void running.ended.then(({ exitCode }) =>
    over.abort(new Error(`the guest went down by itself (${exitCode})`)),
  )
  try {
    return await Promise.race([work(signal), stopped.promise])
  } catch (cause) {
    const after = lastStep === undefined ? '' : ` (after: ${lastStep()})`
    throw failure(`${(cause as Error).message}${after}`, running, cause)
  } finally {
    watched.stop()
    // After a failure this ends the rest of the work.
    over.abort(new Error('over'))
  }
}

/**
 * Presses the power button, as a cloud does at the end of an instance. The guest must drain and turn itself off.
 * @throws {Error} with the console's last lines if it does not, or if the caller aborts
 */
export async function turnedItselfOff(running: RunningMachine, signal?: AbortSignal): Promise<true> {
  const cut = () => void running.kill()
  signal?.addEventListener('abort', cut, { once: true })
  if (signal?.aborted) cut()
  let clean = false
  for (let waitedMs = 0; !clean && waitedMs < POWER_DOWN_MS; waitedMs += PRESS_AGAIN_MS)
    clean = running.hasEnded()
      ? (await running.ended).exitCode === 0
      : await powerDown(running, PRESS_AGAIN_MS)
  signal?.removeEventListener('abort', cut)
  signal?.throwIfAborted()
  if (clean) return true
  throw failure(`not off ${POWER_DOWN_MS / 1000} s after its power button was pressed`, running)
}

/** An error of the boot test. */
export function failure(what: string, { console }: RunningMachine, cause?: unknown): Error {
  const last = console.tail(TAIL_LINES)
  const said =
    last.length === 0 ? 'The console said nothing.' : `The console's last lines:\n${last.join('\n')}`
  return new Error(`boot test failed: ${what}\n${said}`, { cause })
}

/** @throws {Error} with all problems, if there are any */
export function throwProblems(problems: readonly string[]): void {
  if (problems.length > 0) throw new Error(problems.join('\n'))
}
