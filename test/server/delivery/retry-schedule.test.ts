// The retry schedule as a table.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leastAttempts, longestWait, nextAttempt } from '../../../server/delivery/retry-schedule.ts'

const MINUTE = 60_000
const schedule = { firstMs: MINUTE, maxMs: 120 * MINUTE, jitter: 0.2 }
const DAYS_5 = 5 * 24 * 60 * MINUTE

const CASES: [name: string, attempts: number, nowMs: number, chance: number, expected: number | null][] = [
  ['after the first attempt', 1, 0, 0.5, MINUTE],
  ['doubled', 2, 0, 0.5, 2 * MINUTE],
  ['the seventh', 7, 0, 0.5, 64 * MINUTE],
  ['capped', 8, 0, 0.5, 120 * MINUTE],
  ['capped however many', 5_000, 0, 0.5, 120 * MINUTE],
  ['as early as jitter allows', 1, 0, 0, 0.8 * MINUTE],
  ['as late as jitter allows', 1, 0, 1, 1.2 * MINUTE],
  ['a last one when it expires', 8, DAYS_5 - MINUTE, 0.5, DAYS_5],
  ['none after that', 8, DAYS_5, 0.5, null],
]

for (const [name, attempts, nowMs, chance, expected] of CASES) {
  test(name, () =>
    assert.equal(nextAttempt(schedule, { attempts, expiresMs: DAYS_5, nowMs }, chance), expected),
  )
}

test('an envelope gets 67 attempts in 5 days, at least 30 minutes apart in the long run', () => {
  const times = [0]
  for (let nowMs: number | null = 0; nowMs !== null;) {
    nowMs = nextAttempt(schedule, { attempts: times.length, expiresMs: DAYS_5, nowMs }, 0.5)
    if (nowMs !== null) times.push(nowMs)
  }
  assert.equal(times.length, 67)
  assert.equal(times.at(-1), DAYS_5)
})

test('without jitter the schedule is exact, and never in the past', () => {
  assert.equal(
    nextAttempt({ firstMs: 10, maxMs: 10, jitter: 0 }, { attempts: 1, expiresMs: 1e15, nowMs: 5 }, 0),
    15,
  )
})

test('an envelope gets the attempts that fit half of its lifetime, even when the clock is ahead', () => {
  const least = leastAttempts(schedule, DAYS_5)
  const aheadMs = 10 * DAYS_5
  assert.equal(least, 31)
  const after = (attempts: number) =>
    nextAttempt(schedule, { attempts, expiresMs: DAYS_5, nowMs: aheadMs, leastAttempts: least }, 0.5)
  assert.equal(after(1), aheadMs + MINUTE)
  assert.equal(after(least - 1), aheadMs + 120 * MINUTE)
  assert.equal(after(least), null)
})

test('the least number of attempts is one when no wait fits, and large numbers are found at once', () => {
  assert.equal(leastAttempts({ firstMs: 1_000, maxMs: 4_000, jitter: 0 }, 1_000), 1)
  assert.equal(leastAttempts({ firstMs: 10, maxMs: 10, jitter: 0 }, 30 * DAYS_5), (30 * DAYS_5) / 20 + 1)
})

test('no wait exceeds the longest wait', () => {
  for (const attempts of [1, 2, 7, 8, 5_000])
    assert.equal(
      nextAttempt(schedule, { attempts, expiresMs: 1e15, nowMs: 0 }, 1),
      longestWait(schedule, attempts),
    )
})
