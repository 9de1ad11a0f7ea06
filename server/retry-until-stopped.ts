// Trying until it works: what an instance does while something it cannot start without does not answer yet.
// Owns: the pauses, the log line of each failure, and ending at once when the process is told to stop. Bad input is no
// outage: an InputError is passed on.
import { setTimeout as sleep } from 'node:timers/promises'
import { InputError } from '../input/problems.ts'
import { awsErrorFields } from './aws/errors.ts'
import type { Log } from './log.ts'

/** The process was told to stop while it waited. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError'
}

export type StopContext = {
  log: Log
  /** Aborted when the process is told to stop. */
  signal: AbortSignal
}

/** Doubling from a quarter of a second: a network comes up within one; a service under load is asked 12 times a minute. */
const FIRST_PAUSE_MS = 250
const MAX_PAUSE_MS = 5_000

/**
 * Makes attempts, for ever, until one works. Each failure is a `waiting` line in the log.
 * @param what is waited for, as the log calls it
 * @throws {InputError} the attempt's own. @throws {StoppedError} when the process is told to stop first.
 */
export async function retryUntilStopped<T>(
  what: string,
  attempt: () => Promise<T>,
  { log, signal }: StopContext,
): Promise<T> {
  const stopped = Promise.withResolvers<never>()
  stopped.promise.catch(() => {})
  const stop = () => stopped.reject(new StoppedError(`told to stop while waiting for ${what}`))
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop)
  try {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
      try {
        return await Promise.race([attempt(), stopped.promise])
      } catch (error) {
        if (error instanceof InputError || error instanceof StoppedError) throw error
        log('waiting', { for: what, ...awsErrorFields(error) })
      }
      await Promise.race([sleep(pauseMs), stopped.promise])
    }
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
