// Retries a start-up dependency until it answers or the process has to stop. Owns: the back-off and the log
// line of each failure. Throws StoppedError after a stop. Rethrows InputError: a retry cannot fix bad input.
import { InputError } from '../input/problems.ts'
import { withRetry, type BackOff } from '../platform/retry.ts'
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
const BACK_OFF: BackOff = { attempts: Infinity, firstPauseMs: 250, maxPauseMs: 5_000, jitter: 0 }

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
  const whenStopped = () => new StoppedError(`told to stop while waiting for ${what}`)
  const stopped = Promise.withResolvers<never>()
  stopped.promise.catch(() => {})
  const stop = () => stopped.reject(whenStopped())
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop)
  const afterFailure = (error: unknown) => {
    if (error instanceof InputError) return 'fail'
    log('waiting', { for: what, ...awsErrorFields(error) })
    return 'retry'
  }
  try {
    const retried = withRetry(attempt, { backOff: BACK_OFF, signal, afterFailure })
    return await Promise.race([retried, stopped.promise])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
