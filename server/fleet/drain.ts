// Draining: the way an instance leaves the fleet without losing or resetting anything.
// Owns: the order and the time bound. Sessions and deliveries end side by side; only then is anything closed.
import { setTimeout as sleep } from 'node:timers/promises'
import { errorFields, type Log } from '../log.ts'

/** Kept back from the time bound for closing: one commit of the queue and the QUITs. */
const CLOSING_SHARE = 0.1

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
 * Waits for SIGTERM or SIGINT, then drains. Further signals are noted and change nothing: hurry is what loses mail.
 * An error that nothing caught drains too, since after it the process cannot be trusted with new work.
 * @returns the exit code: 0 after a signal, 1 after an error.
 */
export async function drainOnSignal({
  timeoutMs,
  log,
  sessions,
  deliveries,
  close,
}: DrainOptions): Promise<number> {
  const reason = await firstReason(log)
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

function firstReason(log: Log): Promise<NodeJS.Signals | 'error'> {
  return new Promise((resolve) => {
    let draining = false
    const begin = (reason: NodeJS.Signals | 'error') => {
      if (draining) log('still-draining', { reason })
      draining = true
      resolve(reason)
    }
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => begin(signal))
    process.on('uncaughtException', (error) => {
      log('uncaught', errorFields(error))
      begin('error')
    })
  })
}
