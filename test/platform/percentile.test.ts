// Percentiles by nearest rank.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { percentile } from '../../platform/percentile.ts'

test('a percentile is one of the measured values, and null when there are none', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
  assert.deepEqual(
    [0.5, 0.99, 1].map((share) => percentile(hundred, share)),
    [50, 99, 100],
  )
  assert.equal(percentile([7], 0.5), 7)
  assert.equal(percentile([], 0.5), null)
})
