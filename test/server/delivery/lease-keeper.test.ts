// A lease during the delivery of its entry: extended, lost, and reported once.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keepLease, type LeaseKeeperOptions } from '../../../server/delivery/lease-keeper.ts'
import { createMetrics } from '../../../server/metrics.ts'
import { folderFor, entryFor, queueFor } from '../../kit/queue/embedded-harness.ts'
import type { TestContext } from 'node:test'

/** A third of it is how often a lease is extended. */
const LEASE_MS = 3_000

/** A real queue, a clock that stands still, and a lease of it that is held. */
async function held(t: TestContext, over: Partial<LeaseKeeperOptions['queue']> = {}) {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const clock = { nowMs: 1_000_000 }
  const queue = await queueFor(t, { path: folderFor(t), now: () => clock.nowMs })
  await queue.enqueue(entryFor({ dueMs: 0 }), Buffer.from('x'))
  const [lease] = await queue.lease(1, LEASE_MS)
  assert.ok(lease)
  const lines: string[] = []
  const asked: Promise<boolean>[] = []
  const extend: LeaseKeeperOptions['queue']['extend'] = (...args) => {
    const answer = (over.extend ?? queue.extend)(...args)
    asked.push(answer)
    return answer
  }
  const hold = keepLease(lease, {
    queue: { holds: queue.holds, extend },
    leaseMs: LEASE_MS,
    metrics: createMetrics(() => null),
    log: (event) => lines.push(event),
  })
  t.after(() => hold.end())
  return {
    hold,
    lines,
    asked,
    /** Lets time pass, and what that sets off end. */
    pass: async (ms: number) => {
      clock.nowMs += ms
      t.mock.timers.tick(ms)
      await Promise.allSettled(asked)
      await new Promise(setImmediate)
    },
  }
}

test('a lease is extended for as long as the delivery takes', async (t) => {
  const { hold, lines, pass } = await held(t)
  for (let third = 0; third < 12; third++) await pass(1_000)
  assert.equal(hold.isLost(), false)
  assert.deepEqual(lines, [])
})

test('a lost lease is logged once, even during a long delivery', async (t) => {
  const { hold, lines, asked, pass } = await held(t)
  let aborted = 0
  hold.signal.addEventListener('abort', () => aborted++)
  // The process stood still.
  await pass(10_000)
  for (let third = 0; third < 39; third++) await pass(1_000)
  hold.lose()
  assert.equal(hold.isLost(), true)
  assert.deepEqual(lines, ['lease-lost'])
  assert.equal(aborted, 1)
  assert.ok(asked.length < 15, 'and the queue is not asked again')
})

test('a lease that cannot be extended is lost at its expiry, whether the queue answers or not', async (t) => {
  const failing = await held(t, { extend: () => Promise.reject(new Error('disk')) })
  await failing.pass(1_000)
  assert.equal(failing.hold.isLost(), false)
  await failing.pass(1_000)
  await failing.pass(1_000)
  assert.equal(failing.hold.signal.aborted, true)
  assert.deepEqual(failing.lines, ['extend-failed', 'extend-failed', 'extend-failed', 'lease-lost'])
})

test('a queue that does not answer is asked once, and the lease is lost at its expiry', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const clock = { nowMs: 0 }
  let asked = 0
  const lines: string[] = []
  const lease = { entry: { id: 'x' } } as Parameters<typeof keepLease>[0]
  const hold = keepLease(lease, {
    queue: { holds: () => clock.nowMs < LEASE_MS, extend: () => (asked++, new Promise(() => {})) },
    leaseMs: LEASE_MS,
    metrics: createMetrics(() => null),
    log: (event) => lines.push(event),
  })
  for (let third = 0; third < 5; third++) {
    clock.nowMs += 1_000
    t.mock.timers.tick(1_000)
  }
  assert.equal(asked, 1)
  assert.equal(hold.signal.aborted, true)
  assert.deepEqual(lines, ['lease-lost'])
})
