// Capacity, as tables: what comes in, what is decided and by which rule.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as v from 'valibot'
import { checkInput, InputError } from '../../../input/problems.ts'
import {
  decideCapacity,
  initialState,
  type Decision,
  type ScalingRule,
  type ScalingState,
  type Signal,
} from '../../../infra/scaling/capacity.ts'
import { scalingPolicySchema, targetBacklog, type ScalingPolicy } from '../../../infra/scaling/policy.ts'

/** 10 s ÷ (1000 ms ÷ 10) = 100 messages an instance; surge from 300 an instance on; scale-in after 3 periods. */
const policy: ScalingPolicy = {
  ...v.parse(scalingPolicySchema, {}),
  surge: { targets: 3, step: 4 },
  scaleIn: { fraction: 0.5, periods: 3, step: 1, cooldownMs: 0 },
}

function signal(
  ready: number,
  warm: number,
  more: { inFlight?: number; refused?: number; faults?: number; pending?: number } = {},
): Signal {
  const { inFlight = 0, refused = 0, faults = 0, pending = 0 } = more
  return { demand: { ready, inFlight, refusedForLoad: refused }, refusedForFault: faults, warm, pending }
}

/** Runs one signal a second from `state` on. */
function run(state: ScalingState, signals: Signal[], used: ScalingPolicy = policy): Decision[] {
  let current = state
  return signals.map((each, index) => {
    const decision = decideCapacity(current, each, used, index * 1000)
    current = decision.state
    return decision
  })
}

function repeat(times: number, each: Signal): Signal[] {
  return Array.from({ length: times }, () => each)
}

const table: [name: string, from: number, signal: Signal, to: number, rule: ScalingRule][] = [
  ['nothing owed', 1, signal(0, 1), 1, 'hold'],
  ['exactly the target', 1, signal(100, 1), 1, 'hold'],
  ['one above the target', 1, signal(101, 1), 2, 'target'],
  ['proportional at once, not one by one', 2, signal(590, 2), 6, 'target'],
  ['work in flight is owed', 1, signal(60, 1, { inFlight: 50 }), 2, 'target'],
  ['refused mail is owed', 1, signal(0, 1, { refused: 250 }), 3, 'target'],
  ['a surge adds its step to the warm ones', 1, signal(300, 1), 5, 'surge'],
  ['below the surge: proportional', 1, signal(299, 1), 3, 'target'],
  ['a surge never gives less than the target rule', 1, signal(850, 1), 9, 'target'],
  ['pending instances count in the divisor', 5, signal(500, 1, { pending: 4 }), 5, 'hold'],
  ['pending instances count against the surge', 5, signal(1000, 1, { pending: 4 }), 10, 'target'],
  ['the maximum clamps and is no error', 4, signal(1e9, 4), 10, 'target'],
  ['at the maximum nothing more happens', 10, signal(1e9, 10), 10, 'hold'],
  ['desired above the maximum', 12, signal(0, 12), 10, 'bounds'],
  ['desired below the minimum', 0, signal(0, 0), 1, 'bounds'],
  ['no instance at all and mail waiting', 1, signal(150, 0), 2, 'target'],
  ['no data keeps what there is', 4, { ...signal(0, 4), demand: undefined }, 4, 'missing-data'],
  ['no data still obeys the bounds', 0, { ...signal(0, 0), demand: undefined }, 1, 'bounds'],
]
for (const [name, from, given, to, rule] of table) {
  test(name, () => {
    const decision = decideCapacity(initialState(from), given, policy, 0)
    assert.deepEqual({ desired: decision.desired, rule: decision.rule }, { desired: to, rule })
    assert.equal(decision.state.desired, to)
    assert.notEqual(decision.reason, '')
  })
}

test('a surge is not repeated while its own instances are on their way', () => {
  const on = run(initialState(1), [
    signal(350, 1),
    signal(400, 1, { pending: 4 }),
    signal(480, 1, { pending: 4 }),
  ])
  assert.deepEqual(
    on.map(({ desired }) => desired),
    [5, 5, 5],
  )
})

test('demand that goes on growing is followed during the warm-up', () => {
  const on = run(initialState(1), [signal(350, 1), signal(720, 1, { pending: 4 })])
  assert.deepEqual(
    on.map(({ desired }) => desired),
    [5, 8],
  )
})

test('scale-in: so many periods an instance, one at a time, down to the minimum', () => {
  const idle = [5, 5, 5, 4, 4, 4, 3, 3, 3, 2, 2, 2, 1].map((warm) => signal(0, warm))
  const decisions = run(initialState(5), idle)
  assert.deepEqual(
    decisions.map(({ desired }) => desired),
    [5, 5, 4, 4, 4, 3, 3, 3, 2, 2, 2, 1, 1],
  )
  assert.equal(decisions[2]?.rule, 'scale-in')
})

test('a step larger than one does not go below what is needed', () => {
  const steep = { ...policy, scaleIn: { ...policy.scaleIn, step: 5 } }
  assert.equal(run(initialState(6), repeat(3, signal(120, 6)), steep).at(-1)?.desired, 3)
})

test('between the thresholds nothing happens, for ever', () => {
  // 2 instances: out above 200; in only when 1 holds it within half a target, 50. In between is rest.
  for (const ready of [51, 100, 199, 200]) {
    const decisions = run(initialState(2), repeat(50, signal(ready, 2)))
    assert.ok(
      decisions.every(({ desired }) => desired === 2),
      `ready ${ready}`,
    )
  }
})

test('one busy period starts the count anew', () => {
  const decisions = run(initialState(2), [
    signal(0, 2),
    signal(0, 2),
    signal(150, 2),
    signal(0, 2),
    signal(0, 2),
  ])
  assert.ok(decisions.every(({ desired }) => desired === 2))
})

test('missing data never scales in, and starts the count anew', () => {
  const missing: Signal = { ...signal(0, 2), demand: undefined }
  assert.ok(run(initialState(2), repeat(100, missing)).every(({ desired }) => desired === 2))
  const broken = run(initialState(2), [signal(0, 2), signal(0, 2), missing, signal(0, 2), signal(0, 2)])
  assert.equal(broken.at(-1)?.desired, 2)
})

test('a fleet that keeps up is not scaled in under its own work', () => {
  // No backlog at all, yet 37 deliveries under way occupy 4 instances of 10.
  const decisions = run(initialState(5), repeat(20, signal(0, 5, { inFlight: 37 })))
  assert.equal(decisions.at(-1)?.desired, 4)
})

test('nothing goes while instances are pending or warming up', () => {
  const decisions = run(initialState(3), repeat(10, signal(0, 2, { pending: 1 })))
  assert.ok(decisions.every(({ desired }) => desired === 3))
})

test('the cooldown holds a scale-in back, never a scale-out', () => {
  const cool = { ...policy, scaleIn: { ...policy.scaleIn, periods: 1, cooldownMs: 5000 } }
  const idle = run(initialState(1), [signal(150, 1), ...repeat(6, signal(0, 2))], cool)
  assert.deepEqual(
    idle.map(({ desired }) => desired),
    [2, 2, 2, 2, 2, 1, 1],
  )
  const busy = run(initialState(1), [signal(150, 1), signal(250, 2)], cool)
  assert.deepEqual(
    busy.map(({ desired }) => desired),
    [2, 3],
  )
})

test('a steady load finds its size and stays: no flapping', () => {
  // A toy fleet: 100/s arrive, an instance does 10/s, new instances work from the next period on.
  let state = initialState(1)
  let ready = 0
  const sizes: number[] = []
  for (let second = 0; second < 600; second += 1) {
    ready += 100
    const inFlight = Math.min(ready, state.desired * 10)
    ready -= inFlight
    const decision = decideCapacity(
      state,
      signal(ready, state.desired, { inFlight }),
      { ...policy, maxInstances: 30 },
      second * 1000,
    )
    state = decision.state
    sizes.push(decision.desired)
  }
  const settled = sizes.slice(300)
  assert.ok(Math.max(...settled) - Math.min(...settled) <= 1, `sizes ${settled.join(' ')}`)
  assert.ok(Math.min(...settled) >= 10)
})

test('the same input gives the same output, and the input stays as it was', () => {
  const state = Object.freeze(initialState(1))
  const given = Object.freeze(signal(500, 1))
  assert.deepEqual(decideCapacity(state, given, policy, 5), decideCapacity(state, given, policy, 5))
})

test("Little's law: acceptable delay ÷ time per message", () => {
  assert.equal(targetBacklog(policy), 100)
  assert.equal(targetBacklog({ ...policy, acceptableDelayMs: 3000, deliveryMs: 250 }), 120)
  assert.equal(targetBacklog({ ...policy, acceptableDelayMs: 1, deliveryMs: 60_000 }), 1)
})

test('every bad value is named at once', () => {
  const bad = { minInstances: 0, concurrency: 1.5, scaleIn: { fraction: 1 }, surge: { steps: 2 } }
  assert.throws(
    () => checkInput('fleet.yaml', scalingPolicySchema, bad),
    (error) => {
      assert.ok(error instanceof InputError)
      const keys = error.problems.map(({ key }) => key).sort()
      assert.deepEqual(keys, ['concurrency', 'minInstances', 'scaleIn.fraction', 'surge.steps'])
      return true
    },
  )
})

test('a maximum below the minimum names the key', () => {
  assert.throws(
    () => checkInput('fleet.yaml', scalingPolicySchema, { minInstances: 3, maxInstances: 2 }),
    /maxInstances: expected at least minInstances/,
  )
})

test('a fleet whose backlog grows is never scaled in, though a smaller one would still do', () => {
  // 1 more each period: even at 99 messages 2 instances of 50 would do.
  const growing = Array.from({ length: 100 }, (_, period) => signal(period, 5))
  assert.ok(run(initialState(5), growing).every(({ rule }) => rule === 'hold'))
  // With ups and downs on the way up as well.
  const jagged = Array.from({ length: 100 }, (_, period) => signal(period + (period % 2) * 2, 5))
  assert.ok(run(initialState(5), jagged).every(({ rule }) => rule === 'hold'))
  const refused = Array.from({ length: 100 }, (_, period) => signal(0, 5, { refused: period }))
  assert.ok(run(initialState(5), refused).every(({ rule }) => rule === 'hold'))
})

test('a backlog that fell and rises again is not scaled in while it rises', () => {
  const turning = [200, 50, 60, 70, 80, 90].map((ready) => signal(ready, 5))
  assert.ok(run(initialState(5), turning).every(({ rule }) => rule === 'hold'))
})

test('a backlog that has stopped growing is scaled in', () => {
  const rising = Array.from({ length: 10 }, (_, period) => signal(period, 5))
  assert.equal(run(initialState(5), [...rising, ...repeat(6, signal(10, 5))]).at(-1)?.desired, 4)
})

test('a fleet that refuses mail because something is full or broken keeps its size, and does not grow', () => {
  const faulty = run(initialState(3), repeat(50, signal(0, 3, { faults: 1_000 })))
  assert.ok(faulty.every(({ desired, rule }) => desired === 3 && rule === 'hold'))
})

test('figures that are no numbers are missing data, and do no harm later', () => {
  for (const bad of [NaN, Infinity, -1]) {
    for (const broken of [
      signal(bad, 3),
      signal(0, 3, { inFlight: bad }),
      signal(0, 3, { refused: bad }),
      signal(0, bad),
      signal(0, 3, { pending: bad }),
    ]) {
      const [first, ...later] = run(initialState(3), [broken, ...repeat(3, signal(0, 3))])
      assert.deepEqual([first?.desired, first?.rule], [3, 'missing-data'])
      assert.equal(later.at(-1)?.desired, 2)
    }
  }
  assert.equal(decideCapacity(initialState(NaN), signal(0, 3), policy, 0).desired, 1)
})

test('with the default policy the surge can win only with 0 or 1 warm instances', () => {
  const defaults = { ...v.parse(scalingPolicySchema, {}), maxInstances: 1_000 }
  const winners = new Set<number>()
  for (let warm = 0; warm <= 10; warm += 1)
    for (let ready = 0; ready <= 6_000; ready += 50)
      if (decideCapacity(initialState(1), signal(ready, warm), defaults, 0).rule === 'surge')
        winners.add(warm)
  assert.deepEqual([...winners], [0, 1])
})
