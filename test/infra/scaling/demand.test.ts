// The sums behind every scaling decision, as tables.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as v from 'valibot'
import {
  demandOf,
  demandPerInstance,
  requiredInstances,
  surplusInstances,
  type Demand,
} from '../../../infra/scaling/demand.ts'
import { scalingPolicySchema } from '../../../infra/scaling/policy.ts'

/** 100 messages an instance; a smaller fleet must hold the demand within 50 each. 10 deliveries at once. */
const policy = v.parse(scalingPolicySchema, { minInstances: 1, maxInstances: 10 })

function owed(ready: number, inFlight = 0, refusedForLoad = 0): Demand {
  return { ready, inFlight, refusedForLoad }
}

test('demand is ready, in flight and refused for load together', () => {
  assert.equal(demandOf(owed(1, 20, 300)), 321)
})

const perInstance: [name: string, demand: number, capacity: number, each: number][] = [
  ['shared out', 300, 4, 75],
  ['a group of none is counted as one, never a division by zero', 300, 0, 300],
  ['nothing owed', 0, 5, 0],
]
for (const [name, demand, capacity, each] of perInstance) {
  test(`demand an instance: ${name}`, () => assert.equal(demandPerInstance(demand, capacity), each))
}

const enough: [name: string, demand: Demand, instances: number][] = [
  ['nothing owed: the minimum', owed(0), 1],
  ['within the fraction of one target', owed(50), 1],
  ['one above it', owed(51), 2],
  ['refused mail counts', owed(0, 0, 120), 3],
  ['work under way occupies instances without any backlog', owed(0, 37), 4],
  ['the larger of the two counts', owed(400, 37), 9],
  ['never above the maximum', owed(1e9), 10],
]
for (const [name, demand, instances] of enough) {
  test(`enough: ${name}`, () => assert.equal(requiredInstances(demand, policy), instances))
}

type Group = Parameters<typeof surplusInstances>[1]
const group = (inService: number, pending = 0, refusedForFault = 0): Group => ({
  inService,
  pending,
  refusedForFault,
})

const surplus: [name: string, demand: Demand, group: Group, instances: number][] = [
  ['idle, down to the minimum', owed(0), group(4), 3],
  ['just enough', owed(100), group(2), 0],
  ['too few is no negative surplus', owed(900), group(2), 0],
  ['none while an instance is on its way', owed(0), group(4, 1), 0],
  ['none while mail is refused because something is full or broken', owed(0), group(4, 0, 1), 0],
  ['none at the minimum', owed(0), group(1), 0],
]
for (const [name, demand, size, instances] of surplus) {
  test(`surplus: ${name}`, () => {
    assert.equal(surplusInstances(demand, size, policy), instances)
  })
}
