// The scaling decision, as tables of signal, desired capacity and rule.
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

/** Target: 10 s ÷ (1000 ms ÷ 10) = 100 messages per instance. Surge from 300 on; scale-in after 3 periods. */
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

/** Runs one signal per second, from `state` on. */
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
  ['no demand', 1, signal(0, 1), 1, 'hold'],
  ['exactly the target', 1, signal(100, 1), 1, 'hold'],
  ['one above the target', 1, signal(101, 1), 2, 'target'],
  ['in proportion to the demand, at once', 2, signal(590, 2), 6, 'target'],
  ['mail in flight is demand', 1, signal(60, 1, { inFlight: 50 }), 2, 'target'],
  ['refused mail is demand', 1, signal(0, 1, { refused: 250 }), 3, 'target'],
  ['a surge adds its step to the warm instances', 1, signal(300, 1), 5, 'surge'],
  ['below the surge: in proportion', 1, signal(299, 1), 3, 'target'],
  ['a surge never gives less than the target rule', 1, signal(850, 1), 9, 'target'],
  ['pending instances count in the divisor', 5, signal(500, 1, { pending: 4 }), 5, 'hold'],
  ['pending instances count against the surge', 5, signal(1000, 1, { pending: 4 }), 10, 'target'],
  ['clamped to the maximum', 4, signal(1e9, 4), 10, 'target'],
  ['no change at the maximum', 10, signal(1e9, 10), 10, 'hold'],
  ['desired above the maximum', 12, signal(0, 12), 10, 'bounds'],
  ['desired below the minimum', 0, signal(0, 0), 1, 'bounds'],
  ['no instance, and mail waits', 1, signal(150, 0), 2, 'target'],
  ['no data: no change', 4, { ...signal(0, 4), demand: undefined }, 4, 'missing-data'],
  ['no data: the bounds still hold', 0, { ...signal(0, 0), demand: undefined }, 1, 'bounds'],
]
for (const [name, from, given, to, rule] of table) {
  test(name, () => {
    const decision = decideCapacity(initialState(from), given, policy, 0)
    assert.deepEqual({ desired: decision.desired, rule: decision.rule }, { desired: to, rule })
    assert.equal(decision.state.desired, to)
    assert.notEqual(decision.reason, '')
  })
}

test('a surge is not repeated while its own instances launch and warm up', () => {
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

test('growing demand scales out further during the warm-up', () => {
  const on = run(initialState(1), [signal(350, 1), signal(720, 1, { pending: 4 })])
  assert.deepEqual(
    on.map(({ desired }) => desired),
    [5, 8],
  )
})

test('scale-in ends one instance per low periods, down to the minimum', () => {
  const idle = [5, 5, 5, 4, 4, 4, 3, 3, 3, 2, 2, 2, 1].map((warm) => signal(0, warm))
  const decisions = run(initialState(5), idle)
  assert.deepEqual(
    decisions.map(({ desired }) => desired),
    [5, 5, 4, 4, 4, 3, 3, 3, 2, 2, 2, 1, 1],
  )
  assert.equal(decisions[2]?.rule, 'scale-in')
})

test('a step of several instances stops at the required number', () => {
  const steep = { ...policy, scaleIn: { ...policy.scaleIn, step: 5 } }
  assert.equal(run(initialState(6), repeat(3, signal(120, 6)), steep).at(-1)?.desired, 3)
})

test('between the thresholds the size never changes', () => {
  // 2 instances: out above 200; in when 1 instance has half a target or less, 50. In between: no change.
  for (const ready of [51, 100, 199, 200]) {
    const decisions = run(initialState(2), repeat(50, signal(ready, 2)))
    assert.ok(
      decisions.every(({ desired }) => desired === 2),
      `ready ${ready}`,
    )
  }
})

test('one busy period restarts the count', () => {
  const decisions = run(initialState(2), [
    signal(0, 2),
    signal(0, 2),
    signal(150, 2),
    signal(0, 2),
    signal(0, 2),
  ])
  assert.ok(decisions.every(({ desired }) => desired === 2))
})

test('missing data never scales in, and restarts the count', () => {
  const missing: Signal = { ...signal(0, 2), demand: undefined }
  assert.ok(run(initialState(2), repeat(100, missing)).every(({ desired }) => desired === 2))
  const broken = run(initialState(2), [signal(0, 2), signal(0, 2), missing, signal(0, 2), signal(0, 2)])
  assert.equal(broken.at(-1)?.desired, 2)
})

test('a fleet without backlog keeps the instances that its deliveries occupy', () => {
  // No backlog, but 37 deliveries in flight occupy 4 instances of 10.
  const decisions = run(initialState(5), repeat(20, signal(0, 5, { inFlight: 37 })))
  assert.equal(decisions.at(-1)?.desired, 4)
})

test('no scale-in while instances are pending or warming up', () => {
  const decisions = run(initialState(3), repeat(10, signal(0, 2, { pending: 1 })))
  assert.ok(decisions.every(({ desired }) => desired === 3))
})

test('the cooldown delays a scale-in, never a scale-out', () => {
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

test('under a steady load the size settles and does not flap', () => {
  // 100 messages arrive per second, an instance delivers 10/s, and a new instance works from the next period on.
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

test('equal inputs give equal outputs, and no input is changed', () => {
  const state = Object.freeze(initialState(1))
  const given = Object.freeze(signal(500, 1))
  assert.deepEqual(decideCapacity(state, given, policy, 5), decideCapacity(state, given, policy, 5))
})

test("Little's law: acceptable delay ÷ time per message", () => {
  assert.equal(targetBacklog(policy), 100)
  assert.equal(targetBacklog({ ...policy, acceptableDelayMs: 3000, deliveryMs: 250 }), 120)
  assert.equal(targetBacklog({ ...policy, acceptableDelayMs: 1, deliveryMs: 60_000 }), 1)
})

test('the error names all bad values', () => {
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

test('a maximum below the minimum is refused with its key', () => {
  assert.throws(
    () => checkInput('fleet.yaml', scalingPolicySchema, { minInstances: 3, maxInstances: 2 }),
    /maxInstances: expected at least minInstances/,
  )
})

test('a fleet whose backlog grows is never scaled in, even if fewer instances were enough', () => {
  // 1 message more in each period: even for 99 messages, 2 instances of 50 are enough.
  const growing = Array.from({ length: 100 }, (_, period) => signal(period, 5))
  assert.ok(run(initialState(5), growing).every(({ rule }) => rule === 'hold'))
  // The same when the backlog rises with ups and downs.
  const jagged = Array.from({ length: 100 }, (_, period) => signal(period + (period % 2) * 2, 5))
  assert.ok(run(initialState(5), jagged).every(({ rule }) => rule === 'hold'))
  const refused = Array.from({ length: 100 }, (_, period) => signal(0, 5, { refused: period }))
  assert.ok(run(initialState(5), refused).every(({ rule }) => rule === 'hold'))
})

test('a backlog that fell and rises again prevents scale-in while it rises', () => {
  const turning = [200, 50, 60, 70, 80, 90].map((ready) => signal(ready, 5))
  assert.ok(run(initialState(5), turning).every(({ rule }) => rule === 'hold'))
})

test('scale-in happens once the backlog has stopped growing', () => {
  const rising = Array.from({ length: 10 }, (_, period) => signal(period, 5))
  assert.equal(run(initialState(5), [...rising, ...repeat(6, signal(10, 5))]).at(-1)?.desired, 4)
})

test('a fleet that refuses mail because something is full or broken keeps its size', () => {
  const faulty = run(initialState(3), repeat(50, signal(0, 3, { faults: 1_000 })))
  assert.ok(faulty.every(({ desired, rule }) => desired === 3 && rule === 'hold'))
})

test('figures that are no numbers are missing data, and later decisions are right', () => {
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
