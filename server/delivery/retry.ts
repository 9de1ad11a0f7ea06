// When a deferred envelope is tried again.
// Owns: the schedule. Pure: time and chance are given.

export type RetrySchedule = {
  /** Wait after the first attempt. */
  firstMs: number
  /** Longest wait. */
  maxMs: number
  /** Share of a wait by which it may be longer or shorter, 0 to 0.9. */
  jitter: number
}

/**
 * When the next attempt is due (ms since the epoch), or null when the envelope's time is up.
 * Waits double from `firstMs` up to `maxMs`. The last attempt is made when the envelope expires, not before.
 * @param attempts how many have been made, the one just ended included; at least 1.
 * @param chance a random number, 0 to 1, both ends of the jitter.
 */
export function nextAttempt(
  schedule: RetrySchedule,
  { attempts, expiresMs, nowMs }: { attempts: number; expiresMs: number; nowMs: number },
  chance: number,
): number | null {
  if (nowMs >= expiresMs) return null
  const { firstMs, maxMs, jitter } = schedule
  // 2^30 x 10 ms is 124 days: capping the exponent keeps it a safe integer and changes nothing.
  const waitMs = Math.min(maxMs, firstMs * 2 ** Math.min(attempts - 1, 30))
  const jittered = waitMs * (1 + jitter * (2 * chance - 1))
  return Math.min(expiresMs, nowMs + Math.max(1, Math.round(jittered)))
}
