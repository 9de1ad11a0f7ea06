// Retries: how many attempts, how long the pauses, and what ends them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backOffMs, waitUntil, withRetry, type BackOff } from '../../platform/retry.ts'

const backOff: BackOff = { attempts: 4, firstPauseMs: 1, maxPauseMs: 2, jitter: 0 }

/** An attempt that fails so many times before it returns. */
function failing(times: number) {
  const calls = { made: 0 }
  const attempt = () => {
    calls.made++
    return calls.made <= times ? Promise.reject(new Error(`failure ${calls.made}`)) : Promise.resolve('done')
  }
  return { calls, attempt }
}

test('an attempt is repeated until it succeeds', async () => {
  const { calls, attempt } = failing(3)
  assert.equal(await withRetry(attempt, { backOff }), 'done')
  assert.equal(calls.made, 4)
})

test('when the attempts are used up, the last error is thrown', async () => {
  const { calls, attempt } = failing(9)
  await assert.rejects(withRetry(attempt, { backOff }), /failure 4/)
  assert.equal(calls.made, 4)
})

test('an error that must not be retried is thrown at once', async () => {
  const { calls, attempt } = failing(9)
  await assert.rejects(withRetry(attempt, { backOff, afterFailure: () => 'fail' }), /failure 1/)
  assert.equal(calls.made, 1)
})

test('a failure that does not count leaves the attempts as they were', async () => {
  const { calls, attempt } = failing(9)
  const afterFailure = () => ({ minPauseMs: 0, counts: calls.made > 5 })
  await assert.rejects(withRetry(attempt, { backOff, afterFailure }), /failure 9/)
})

test('a pause is never shorter than the peer asked for', async () => {
  const { attempt } = failing(1)
  const startedMs = performance.now()
  await withRetry(attempt, { backOff, afterFailure: () => ({ minPauseMs: 40 }) })
  assert.ok(performance.now() - startedMs >= 39)
})

test('the signal ends a pause, and its reason is thrown', async () => {
  const stop = new AbortController()
  const slow = { ...backOff, firstPauseMs: 60_000, maxPauseMs: 60_000 }
  const waiting = withRetry(failing(9).attempt, { backOff: slow, signal: stop.signal })
  setImmediate(() => stop.abort(new Error('stopped')))
  await assert.rejects(waiting, (error: Error) =>
    /stopped|aborted/.test(`${error.message} ${String(error.cause)}`),
  )
})

test('pauses double up to the longest, and jitter only shortens them', () => {
  const plain = { firstPauseMs: 100, maxPauseMs: 500, jitter: 0 }
  assert.deepEqual(
    [1, 2, 3, 4, 9].map((failures) => backOffMs(plain, failures)),
    [100, 200, 400, 500, 500],
  )
  const pauses = Array.from({ length: 200 }, () => backOffMs({ ...plain, jitter: 0.5 }, 2))
  assert.ok(pauses.every((ms) => ms > 100 && ms <= 200))
  assert.ok(new Set(pauses).size > 1)
})

test('waitUntil returns what it finds, and fails when the time is up', async () => {
  let looks = 0
  const look = () => Promise.resolve(++looks === 3 ? 'found' : null)
  const timedOut = () => new Error('the snapshot took too long')
  assert.equal(await waitUntil(look, { everyMs: 1, timeoutMs: 60_000, timedOut }), 'found')
  const never = () => Promise.resolve(null)
  await assert.rejects(waitUntil(never, { everyMs: 1, timeoutMs: 5, timedOut }), /took too long/)
})
