// Drains the instance, so that it leaves the fleet without a lost message or a reset connection. Owns: the order and the
// time limits. Sessions and deliveries end at the same time. Then the queue closes, and the instance answers 421 until its
// group releases it. When a limit is reached, the drain logs that and takes the next step.
import { setTimeout as sleep } from 'node:timers/promises'
import { errorFields, type Log } from '../log.ts'

/** Share of the limit kept for closing: one commit of the queue and the QUITs. */
const CLOSING_SHARE = 0.1

/** Why a member of a group leaves it: the group terminates it, or EC2 reclaims a spot instance. */
export type LeaveReason = 'terminating' | 'spot-interruption'

/** Why an instance stops: a signal, its group, or an uncaught error. */
export type StopReason = NodeJS.Signals | LeaveReason | 'error'

/**
 * A spot notice comes two minutes ahead (Amazon EC2 user guide, "Spot Instance interruption notices"). One metadata
 * poll may already have passed, and the rest is for closing.
 */
const SPOT_MS = 100_000

export type DrainOptions = {
  /** From the stop reason to the end of the process. */
  timeoutMs: number
  log: Log
  /** Accepts no new sessions and ends the open ones. */
  sessions: (timeoutMs: number) => Promise<void>
  /** Starts no new deliveries and ends the running ones. */
  deliveries: (timeoutMs: number) => Promise<void>
  close: () => Promise<void>
  /** Waits until the group releases the instance, or `signal` is aborted. */
  released: (signal: AbortSignal) => Promise<void>
  /** How long the group may keep an instance that it terminates, from the stop reason on. */
  releaseMs: number
  /** Aborted when the machine shuts down, so the wait for the group ends. */
  hurry: AbortSignal
}

/**
 * Ends the work in progress, then closes.
 * @returns the exit code: 1 after an error, else 0
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
  // A machine that shuts down has no more time than the drain.
  const releaseMs = reason === 'terminating' ? Math.max(timeoutMs, options.releaseMs) : timeoutMs
  const boundedMs = Math.max(releaseMs - elapsedMs(), timeoutMs * CLOSING_SHARE)
  await options.released(AbortSignal.any([options.hurry, AbortSignal.timeout(Math.ceil(boundedMs))]))
  return reason === 'error' ? 1 : 0
}

/** @returns whether closing succeeded in time */
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
  /**
   * Resolves with the first reason. Later ones are logged and change nothing, since a hurried drain would lose mail.
   */
  reason: Promise<StopReason>
  /** Aborted with the first reason. Ends every wait for something to start. */
  signal: AbortSignal
  /** Aborted by a signal after the first reason. It shortens no drain, only the wait for the group. */
  hurry: AbortSignal
  /** Gives a reason to stop. */
  stop: (reason: StopReason) => void
}

/** Watches for SIGTERM, SIGINT and uncaught errors. After an uncaught error the process takes no new work. */
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
