// The phases of a scenario, and the arithmetic of the storm of `npm start`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { phaseAt, phasesMs, stormScenario } from '../../storm/scenario.ts'

test('phases follow each other, and the last one does not end', () => {
  const phases = [
    { name: 'one', seconds: 2, perSecond: 1 },
    { name: 'two', seconds: 3, perSecond: 2 },
  ]
  assert.equal(phasesMs({ phases }), 5000)
  assert.deepEqual(
    [0, 1999, 2000, 99_999].map((atMs) => phaseAt(phases, atMs)?.name),
    ['one', 'one', 'two', 'two'],
  )
})

test('the burst is more than 3 times the rate of one instance, and less than the rate of the largest fleet', () => {
  const { concurrency, remoteLatencyMs, phases, policy } = stormScenario
  const forwardsPerSecond = concurrency / ((remoteLatencyMs[0] + remoteLatencyMs[1]) / 2000)
  const burst = Math.max(...phases.map(({ perSecond }) => perSecond))
  assert.ok(burst > 3 * forwardsPerSecond)
  assert.ok(burst < policy.maxInstances * forwardsPerSecond)
})
