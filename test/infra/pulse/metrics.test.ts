// From a measurement to metric values, and which instances count. No AWS calls.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as v from 'valibot'
import { InputError } from '../../../input/problems.ts'
import { failedValues, measuredValues } from '../../../infra/pulse/metrics.ts'
import { groupSize } from '../../../infra/pulse/reads.ts'
import { readPulseSettings } from '../../../infra/pulse/settings.ts'
import { scalingPolicySchema } from '../../../infra/scaling/policy.ts'

const policy = v.parse(scalingPolicySchema, {})

const measured = {
  demand: { ready: 200, inFlight: 30, refusedForLoad: 70 },
  deferred: 5000,
  inService: 2,
  pending: 1,
  refusedForFault: 0,
  unknownVersion: 0,
}

test('demand includes refused but not deferred mail, and is divided by instances in service and pending', () => {
  const values = measuredValues(measured, policy)
  assert.equal(values.Demand, 300)
  assert.equal(values.DemandPerInstance, 100)
  assert.equal(values.Deferred, 5000)
  assert.equal(values.Capacity, 3)
})

test('an empty group counts as one instance', () => {
  const values = measuredValues({ ...measured, inService: 0, pending: 0 }, policy)
  assert.equal(values.DemandPerInstance, 300)
  assert.equal(values.Capacity, 0)
  assert.equal(values.Surplus, 0)
})

test('surplus is the number of instances that the policy does not need', () => {
  const idle = { ...measured, demand: { ready: 0, inFlight: 0, refusedForLoad: 0 }, inService: 4, pending: 0 }
  assert.equal(measuredValues(idle, policy).Surplus, 3)
  const full = measuredValues({ ...idle, refusedForFault: 1 }, policy)
  assert.deepEqual([full.Surplus, full.Demand, full.RefusedForFault], [0, 0, 1])
})

test('a failed measurement publishes PulseFailed alone, and no zeros', () => {
  assert.deepEqual(failedValues, { PulseFailed: 1 })
  assert.equal(measuredValues(measured, policy).PulseFailed, 0)
})

const lifecycles: [state: string | undefined, counted: { inService: number; pending: number }][] = [
  ['InService', { inService: 1, pending: 0 }],
  ['Pending', { inService: 0, pending: 1 }],
  ['Pending:Wait', { inService: 0, pending: 1 }],
  ['Pending:Proceed', { inService: 0, pending: 1 }],
  ['Terminating:Wait', { inService: 0, pending: 0 }],
  ['Terminated', { inService: 0, pending: 0 }],
  ['Standby', { inService: 0, pending: 0 }],
  ['EnteringStandby', { inService: 0, pending: 0 }],
  ['Warmed:Pending:Wait', { inService: 0, pending: 0 }],
  ['Warmed:Stopped', { inService: 0, pending: 0 }],
  [undefined, { inService: 0, pending: 0 }],
]
for (const [state, counted] of lifecycles) {
  test(`an instance that is ${state ?? 'in no state'}`, () => assert.deepEqual(groupSize([state]), counted))
}

test('the error names all bad settings', () => {
  assert.throws(
    () =>
      readPulseSettings({
        FLEET: 'f',
        GROUP: '',
        READY_URL: 'ready',
        TABLE: 't',
        POLICY: '{"minInstances":0}',
      }),
    (error) => {
      assert.ok(error instanceof InputError)
      const keys = error.problems.map(({ key }) => key).sort()
      assert.deepEqual(keys, ['DEFERRED_URL', 'GROUP', 'POLICY.minInstances', 'READY_URL'])
      return true
    },
  )
})
