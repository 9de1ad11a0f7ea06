// Retries with exponential back-off, and waiting for a state that changes by itself. Owns: the pauses between attempts.
// Fails with the last error of the attempt, or with the reason of the caller's signal.
import { setTimeout as sleep } from 'node:timers/promises'

/** How attempts are spaced. The pause doubles after each failure. */
export type BackOff = {
  /** Attempts in all; Infinity for as long as it takes. */
  attempts: number
  firstPauseMs: number
  maxPauseMs: number
  /** The random share of a pause, 0 to 1. A pause lasts from (1 - jitter) to 1 times its full length. */
  jitter: number
}

/** What to do after a failed attempt. */
export type AfterFailure =
  | 'retry'
  /** Throw the error. */
  | 'fail'
  | {
      /** The shortest pause, for instance from a Retry-After header. */
      minPauseMs: number
      /** False: this failure does not use up an attempt. The default is true. */
      counts?: boolean
    }

export type RetryOptions = {
  backOff: BackOff
  signal?: AbortSignal
  /** Decides after each failure, and may log it. By default every failure is retried. */
  afterFailure?: (error: unknown, failures: number) => AfterFailure
}

/**
 * Calls `attempt` until it succeeds, `afterFailure` says 'fail', or the attempts are used up.
 * The signal ends a pause at once. A running attempt is not interrupted.
 */
export async function withRetry<T>(attempt: () => Promise<T>, o: RetryOptions): Promise<T> {
  const { backOff, signal, afterFailure = () => 'retry' as const } = o
  for (let failures = 0; ;) {
    try {
      return await attempt()
    } catch (error) {
      signal?.throwIfAborted()
      const next = afterFailure(error, failures + 1)
      if (next === 'fail') throw error
      const counts = typeof next === 'string' || next.counts !== false
      if (counts && ++failures >= backOff.attempts) throw error
      const minPauseMs = typeof next === 'string' ? 0 : next.minPauseMs
      const pauseMs = Math.max(minPauseMs, counts ? backOffMs(backOff, failures) : 0)
      await sleep(pauseMs, undefined, signal ? { signal } : {})
    }
  }
}

/** The pause after so many failures in a row. */
export function backOffMs(backOff: Omit<BackOff, 'attempts'>, failures: number): number {
  const fullMs = Math.min(backOff.firstPauseMs * 2 ** (failures - 1), backOff.maxPauseMs)
  return fullMs * (1 - backOff.jitter * Math.random())
}

export type WaitOptions = {
  /** The pause between two looks. */
  everyMs: number
  timeoutMs: number
  /** The error when the time is up. */
  timedOut: () => Error
  signal?: AbortSignal
}

/** Calls `look` until it finds something. */
export async function waitUntil<T>(look: () => Promise<T | null>, o: WaitOptions): Promise<T> {
  const startedMs = performance.now()
  for (;;) {
    const found = await look()
    if (found !== null) return found
    if (performance.now() - startedMs > o.timeoutMs) throw o.timedOut()
    await sleep(o.everyMs, undefined, o.signal ? { signal: o.signal } : {})
  }
}
