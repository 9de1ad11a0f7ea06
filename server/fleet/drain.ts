// Draining: the way an instance leaves the fleet without losing or resetting anything.
// Owns: the order and the time bound. Sessions and deliveries end side by side; only then is anything closed.
import { setTimeout as sleep } from 'node:timers/promises'
import { errorFields, type Log } from '../log.ts'

/** Kept back from the time bound for closing: one commit of the queue and the QUITs. */
const CLOSING_SHARE = 0.1

/** Why an instance stops: a signal, or an error that nothing caught. */
export type StopReason = NodeJS.Signals | 'error'

export type DrainOptions = {
  /** From the signal to the end of the process. */
  timeoutMs: number
  log: Log
  /** Takes no more sessions and ends those there are. */
  sessions: (timeoutMs: number) => Promise<void>
  /** Takes no more work and ends what is in progress. */
  deliveries: (timeoutMs: number) => Promise<void>
  close: () => Promise<void>
}

/**
 * Ends what is in progress, then closes.
 * @returns the exit code: 0 after a signal, 1 after an error.
 */
export async function drain(reason: StopReason, options: DrainOptions): Promise<number> {
  const { timeoutMs, log, sessions, deliveries, close } = options
  const startedMs = Date.now()
  log('draining', { reason, timeoutMs })
  const boundMs = timeoutMs * (1 - CLOSING_SHARE)
  await Promise.all([sessions(boundMs), deliveries(boundMs)])
  const closed = await Promise.race([
    close().then(
      () => true,
      (error: unknown) => {
        log('close-failed', errorFields(error))
        return false
      },
    ),
    sleep(timeoutMs * CLOSING_SHARE, false),
  ])
  log('drained', { closed, tookMs: Date.now() - startedMs })
  return reason === 'error' ? 1 : 0
}

/**
 * Resolves at the first SIGTERM or SIGINT. Further ones are noted and change nothing: hurry is what loses mail.
 * An error that nothing caught counts as well, since after it the process cannot be trusted with new work.
 */
export function stopReason(log: Log): Promise<StopReason> {
  return new Promise((resolve) => {
    let stopping = false
    const stop = (reason: StopReason) => {
      if (stopping) log('still-draining', { reason })
      stopping = true
      resolve(reason)
    }
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal))
    process.on('uncaughtException', (error) => {
      log('uncaught', errorFields(error))
      stop('error')
    })
  })
}
