// Demand and required instances, as tables.
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

/** Target: 100 messages per instance; 50 after a scale-in. 10 concurrent deliveries. */
const policy = v.parse(scalingPolicySchema, { minInstances: 1, maxInstances: 10 })

function demand(ready: number, inFlight = 0, refusedForLoad = 0): Demand {
  return { ready, inFlight, refusedForLoad }
}

test('demand is the sum of ready, in flight and refused for load', () => {
  assert.equal(demandOf(demand(1, 20, 300)), 321)
})

const perInstance: [name: string, demand: number, capacity: number, each: number][] = [
  ['divided by the instances', 300, 4, 75],
  ['an empty group counts as one instance', 300, 0, 300],
  ['no demand', 0, 5, 0],
]
for (const [name, demand, capacity, each] of perInstance) {
  test(`demand per instance: ${name}`, () => assert.equal(demandPerInstance(demand, capacity), each))
}

const enough: [name: string, demand: Demand, instances: number][] = [
  ['no demand: the minimum', demand(0), 1],
  ['at the fraction of one target', demand(50), 1],
  ['one above it', demand(51), 2],
  ['refused mail counts', demand(0, 0, 120), 3],
  ['mail in flight occupies instances without backlog', demand(0, 37), 4],
  ['the larger of the two counts', demand(400, 37), 9],
  ['never above the maximum', demand(1e9), 10],
]
for (const [name, demand, instances] of enough) {
  test(`required instances: ${name}`, () => assert.equal(requiredInstances(demand, policy), instances))
}

type Group = Parameters<typeof surplusInstances>[1]
const group = (inService: number, pending = 0, refusedForFault = 0): Group => ({
  inService,
  pending,
  refusedForFault,
})

const surplus: [name: string, demand: Demand, group: Group, instances: number][] = [
  ['idle, down to the minimum', demand(0), group(4), 3],
  ['just enough', demand(100), group(2), 0],
  ['never negative', demand(900), group(2), 0],
  ['none while an instance is pending', demand(0), group(4, 1), 0],
  ['none while mail is refused because something is full or broken', demand(0), group(4, 0, 1), 0],
  ['none at the minimum', demand(0), group(1), 0],
]
for (const [name, demand, size, instances] of surplus) {
  test(`surplus: ${name}`, () => {
    assert.equal(surplusInstances(demand, size, policy), instances)
  })
}
