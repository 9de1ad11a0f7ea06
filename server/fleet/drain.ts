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

/** Waits for SIGTERM or SIGINT, then drains. Further signals are noted and change nothing: hurry is what loses mail. */
export async function drainOnSignal(options: DrainOptions): Promise<void> {
  const { timeoutMs, log, sessions, deliveries, close } = options
  const signal = await firstSignal(log)
  const startedMs = Date.now()
  log('draining', { signal, timeoutMs })
  const boundMs = timeoutMs * (1 - CLOSING_SHARE)
  await Promise.all([sessions(boundMs), deliveries(boundMs)])
  const closed = await Promise.race([
    close().then(
      () => 'closed',
      (error: unknown) => `close failed: ${String(errorFields(error)['error'])}`,
    ),
    sleep(timeoutMs * CLOSING_SHARE, 'not closed in time', { ref: false }),
  ])
  log('drained', { closed, tookMs: Date.now() - startedMs })
}

function firstSignal(log: Log): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let drained = false
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (drained) log('still-draining', { signal })
        drained = true
        resolve(signal)
      })
    }
  })
}
