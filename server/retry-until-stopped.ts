// Retries a start-up dependency until it answers or the process is told to stop. Owns: the back-off and the log line
// of each failure. Throws StoppedError after a stop, and passes an InputError on: retrying cannot mend bad input.
import { setTimeout as sleep } from 'node:timers/promises'
import { InputError } from '../input/problems.ts'
import { awsErrorFields } from './aws/errors.ts'
import type { Log } from './log.ts'

/** The process was told to stop during start-up. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError'
}

export type StopContext = {
  log: Log
  /** Aborted when the process is told to stop. */
  signal: AbortSignal
}

/** The pause doubles from 250 ms, since a network comes up within a second. A service under load gets 12 calls a minute. */
const FIRST_PAUSE_MS = 250
const MAX_PAUSE_MS = 5_000

/**
 * Calls `attempt` until it succeeds. Each failure writes a `waiting` line to the log.
 * @param what the dependency's name in the log
 * @throws {InputError} from the attempt. @throws {StoppedError} if the process is told to stop first.
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
