// Draining: the way an instance leaves the fleet without losing or resetting anything.
// Owns: the order and the time bounds. Sessions and deliveries end side by side; then the queue is closed; then the
// instance answers 421 until its group lets it go. A bound that is reached is logged, and the next step begins.
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
  /** Waits until the group lets the instance go, or `signal` is aborted. */
  released: (signal: AbortSignal) => Promise<void>
  /** How long the group may keep the instance that it terminates, from the reason to stop on. */
  releaseMs: number
  /** Aborted when the machine goes down: nothing is left to wait for. */
  hurry: AbortSignal
}

/**
 * Ends what is in progress, then closes.
 * @returns the exit code: 1 after an error, else 0.
 */
export async function drain(reason: StopReason, options: DrainOptions): Promise<number> {
  const { log, sessions, deliveries, close } = options
  const timeoutMs = reason === 'spot-interruption' ? Math.min(options.timeoutMs, SPOT_MS) : options.timeoutMs
  const startedMs = performance.now()
  log('draining', { reason, timeoutMs })
  const boundMs = timeoutMs * (1 - CLOSING_SHARE)
  await Promise.all([sessions(boundMs), deliveries(boundMs)])
  const elapsedMs = () => performance.now() - startedMs
  const leftMs = Math.max(timeoutMs - elapsedMs(), timeoutMs * CLOSING_SHARE)
  const closed = await closedWithin(leftMs, close, log)
  log('drained', { closed, tookMs: Math.round(elapsedMs()) })
  // A machine that goes down has no more time than the drain.
  const releaseMs = reason === 'terminating' ? Math.max(timeoutMs, options.releaseMs) : timeoutMs
  const boundedMs = Math.max(releaseMs - elapsedMs(), timeoutMs * CLOSING_SHARE)
  await options.released(AbortSignal.any([options.hurry, AbortSignal.timeout(Math.ceil(boundedMs))]))
  return reason === 'error' ? 1 : 0
}

/** @returns whether closing succeeded in time. */
async function closedWithin(boundMs: number, close: () => Promise<void>, log: Log): Promise<boolean> {
  const over = new AbortController()
  const closed = await Promise.race([
    close().then(
      () => true,
      (error: unknown) => {
        log('close-failed', errorFields(error))
        return false
      },
    ),
    sleep(boundMs, false, { signal: over.signal }).catch(() => false),
  ])
  over.abort()
  return closed
}

export type Stop = {
  /** Resolves with the first reason. Further ones are noted and change nothing: hurry is what loses mail. */
  reason: Promise<StopReason>
  /** Aborted by then: what only waits for something to come up ends at once. */
  signal: AbortSignal
  /** Aborted by a signal that comes after the first reason. It ends no drain, only the wait for the group. */
  hurry: AbortSignal
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
  const hurry = new AbortController()
  const stop = (reason: StopReason) => {
    if (controller.signal.aborted) {
      log('still-draining', { reason })
      if (reason.startsWith('SIG')) hurry.abort()
    }
    first.resolve(reason)
    controller.abort()
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal))
  process.on('uncaughtException', (error) => {
    log('uncaught', errorFields(error))
    stop('error')
  })
  return { reason: first.promise, signal: controller.signal, hurry: hurry.signal, stop }
}
