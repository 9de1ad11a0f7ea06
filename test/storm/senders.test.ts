// The pauses between the attempts of a sender.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { retryDelayMs } from '../../storm/senders.ts'

test('the pause doubles with each failure up to the maximum, and has jitter', () => {
  const retry = { firstMs: 1000, maxMs: 8000, jitter: 0.5 }
  const middle = [1, 2, 3, 4, 5, 50].map((failures) => retryDelayMs(failures, retry, () => 0.5))
  assert.deepEqual(middle, [1000, 2000, 4000, 8000, 8000, 8000])
  assert.deepEqual(
    [0, 1].map((chance) => retryDelayMs(1, retry, () => chance)),
    [500, 1500],
  )
})
