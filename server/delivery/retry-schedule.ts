// When a deferred envelope is tried again. Owns: the schedule. Pure: time and random number are parameters.

export type RetrySchedule = {
  /** Wait after the first attempt. */
  firstMs: number
  /** Longest wait. */
  maxMs: number
  /** Random share of a wait, added or subtracted; 0 to 0.9. */
  jitter: number
}

type Progress = { attempts: number; expiresMs: number; nowMs: number; leastAttempts?: number }

/**
 * When the next attempt is due (ms since the epoch), or null when the envelope has expired.
 * Waits double from `firstMs` up to `maxMs`. The last attempt is at the expiry, not before. An envelope that expired
 * after fewer than `leastAttempts` is tried again, because the clock was wrong.
 * @param attempts made so far, with the one that just ended; at least 1
 * @param chance a random number, 0 to 1, both ends of the jitter
 */
export function nextAttempt(
  schedule: RetrySchedule,
  { attempts, expiresMs, nowMs, leastAttempts = 0 }: Progress,
  chance: number,
): number | null {
  const expired = nowMs >= expiresMs
  if (expired && attempts >= leastAttempts) return null
  const { jitter } = schedule
  const jittered = waitMs(schedule, attempts) * (1 + jitter * (2 * chance - 1))
  const nextMs = nowMs + Math.max(1, Math.round(jittered))
  return expired ? nextMs : Math.min(expiresMs, nextMs)
}

/** The longest wait that {@link nextAttempt} gives after so many attempts. */
export function longestWait(schedule: RetrySchedule, attempts: number): number {
  return Math.max(1, Math.round(waitMs(schedule, attempts) * (1 + schedule.jitter)))
}

/**
 * The fewest attempts of an envelope: as many as fit into half of its lifetime. A clock that is ahead does not reduce
 * them. An envelope that our own outage delayed for days is tried for longer than its lifetime.
 */
export function leastAttempts(schedule: RetrySchedule, lifetimeMs: number): number {
  const longest = longestWait(schedule, Infinity)
  let leftMs = lifetimeMs / 2
  for (let attempts = 1; ; attempts++) {
    const wait = longestWait(schedule, attempts)
    if (wait === longest || wait > leftMs) return attempts + Math.floor(leftMs / wait)
    leftMs -= wait
  }
}

/**
 * Without jitter. 2^30 x 10 ms is 124 days: the capped exponent keeps the number a safe integer and changes no wait.
 */
function waitMs({ firstMs, maxMs }: RetrySchedule, attempts: number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(attempts - 1, 30))
}
