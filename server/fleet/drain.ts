// Draining: the way an instance leaves the fleet without losing or resetting anything.
// Owns: the order and the time bound. Sessions and deliveries end side by side; only then is anything closed.
import { setTimeout as sleep } from 'node:timers/promises'
import { errorFields, type Log } from '../log.ts'

/** Kept back from the time bound for closing: one commit of the queue and the QUITs. */
const CLOSING_SHARE = 0.1

/** Why a member of a group leaves it: the group ends it, or EC2 takes a spot instance back. */
export type LeaveReason = 'terminating' | 'spot-interruption'

/** Why an instance stops: a signal, its group, or an error that nothing caught. */
export type StopReason = NodeJS.Signals | LeaveReason | 'error'

/**
 * A spot notice comes two minutes ahead (Amazon EC2 user guide, "Spot Instance interruption notices"). Up to a poll of
 * it may be gone, and the rest is for closing.
 */
const SPOT_MS = 100_000

export type DrainOptions = {
  /** From the reason to stop to the end of the process. */
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
 * @returns the exit code: 1 after an error, else 0.
 */
export async function drain(reason: StopReason, options: DrainOptions): Promise<number> {
  const { log, sessions, deliveries, close } = options
  const timeoutMs = reason === 'spot-interruption' ? Math.min(options.timeoutMs, SPOT_MS) : options.timeoutMs
  const startedMs = Date.now()
  log('draining', { reason, timeoutMs })
  const boundMs = timeoutMs * (1 - CLOSING_SHARE)
  await Promise.all([sessions(boundMs), deliveries(boundMs)])
  const leftMs = Math.max(startedMs + timeoutMs - Date.now(), timeoutMs * CLOSING_SHARE)
  const over = new AbortController()
  const closed = await Promise.race([
    close().then(
      () => true,
      (error: unknown) => {
        log('close-failed', errorFields(error))
        return false
      },
    ),
    sleep(leftMs, false, { signal: over.signal }).catch(() => false),
  ])
  over.abort()
  log('drained', { closed, tookMs: Date.now() - startedMs })
  return reason === 'error' ? 1 : 0
}

export type Stop = {
  /** Resolves with the first reason. Further ones are noted and change nothing: hurry is what loses mail. */
  reason: Promise<StopReason>
  /** Aborted by then: what only waits for something to come up ends at once. */
  signal: AbortSignal
  /** Gives a reason. */
  stop: (reason: StopReason) => void
}

/**
 * Watches for SIGTERM and SIGINT, and for an error that nothing caught: after it the process cannot be trusted with new
 * work.
 */
export function watchStop(log: Log): Stop {
  const first = Promise.withResolvers<StopReason>()
  const controller = new AbortController()
  const stop = (reason: StopReason) => {
    if (controller.signal.aborted) log('still-draining', { reason })
    first.resolve(reason)
    controller.abort()
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal))
  process.on('uncaughtException', (error) => {
    log('uncaught', errorFields(error))
    stop('error')
  })
  return { reason: first.promise, signal: controller.signal, stop }
}
