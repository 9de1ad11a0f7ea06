// Detection of wall clock steps.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClockStepDetector } from '../../server/clock.ts'

test('a step is reported once, with its size and direction; passing time and a slewed clock are not reported', () => {
  const clock = { wallMs: 1_000_000, monotonicMs: 5 }
  const stepped = createClockStepDetector(
    () => clock.wallMs,
    () => clock.monotonicMs,
  )
  const pass = (wallMs: number, monotonicMs: number) => {
    clock.wallMs += wallMs
    clock.monotonicMs += monotonicMs
    return stepped()
  }
  assert.equal(pass(3_600_000, 3_600_000), 0)
  for (let second = 0; second < 5_000; second++) assert.equal(pass(1_000.5, 1_000), 0)
  assert.equal(pass(-3_600_000, 0), -3_600_000)
  assert.equal(pass(1_000, 1_000), 0)
  assert.equal(pass(3_601_000, 1_000), 3_600_000)
})
