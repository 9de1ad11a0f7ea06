// Contract cases about a wall clock that is set while the queue is open.
import assert from 'node:assert/strict'
import { destination } from '../queue/embedded-harness.ts'
import { due } from './leasing.ts'
import {
  waitForCounts,
  leaseEach,
  leaseOne,
  LONG_MS,
  MEDIUM_MS,
  type ContractCases,
} from '../queue/harness.ts'

const body = Buffer.from('Subject: x\r\n\r\nx\r\n')
const one = () => due({ destinations: [destination('a@example.net')] })

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

export const stepCases: ContractCases = {
  'ready mail stays ready when the clock is set back an hour': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open()]
    // Accepted and due at once, like all new mail.
    const nowMs = harness.now()
    for (let i = 0; i < 3; i++) await queue.enqueue(due({ acceptedMs: nowMs, dueMs: nowMs }), body)
    harness.step(-HOUR_MS)
    assert.equal((await leaseEach(other, 3, LONG_MS)).length, 3)
    await waitForCounts(queue, { inFlight: 3 })
  },

  'mail whose wait is over stays ready when the clock is set back an hour': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open({ longestWaitMs: () => DAY_MS })]
    await queue.enqueue(one(), body)
    const dueMs = harness.now() + 1_000
    await queue.settle(await leaseOne(queue), { kind: 'reschedule', dueMs })
    await harness.advance(2_500)
    harness.step(-HOUR_MS)
    assert.equal((await leaseOne(other)).entry.attempts, 1)
  },

  'no holder loses its lease when the clock is set ahead an hour': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open()]
    await queue.enqueue(one(), body)
    const held = await leaseOne(queue, MEDIUM_MS)
    harness.step(HOUR_MS)
    assert.deepEqual(await other.lease(1, MEDIUM_MS), [])
    assert.equal(queue.holds(held), true)
    assert.equal(await queue.extend(held, LONG_MS), true)
    await harness.advance(MEDIUM_MS + 500)
    assert.deepEqual(await other.lease(1, LONG_MS), [])
    assert.equal(await queue.settle(held, { kind: 'remove' }), true)
    await waitForCounts(other, {})
  },

  'a lease written by a clock that was ahead ends when its holder is gone': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open()]
    await queue.enqueue(one(), body)
    await leaseOne(queue, 1_000)
    harness.step(-HOUR_MS)
    assert.deepEqual(await other.lease(1, 1_000), [])
    await harness.advance(2_500)
    await leaseOne(other)
  },

  'a due time that only a clock far ahead can have written is capped': async (harness) => {
    const longestWaitMs = () => 2_000
    const [queue, other] = [await harness.open({ longestWaitMs }), await harness.open({ longestWaitMs })]
    harness.step(10 * DAY_MS)
    // Both clients have read the clock that is ahead.
    assert.deepEqual(await other.lease(1, 1_000), [])
    await queue.enqueue(one(), body)
    const held = await leaseOne(queue)
    await queue.settle(held, { kind: 'reschedule', dueMs: harness.now() + 2_000 })
    harness.step(-10 * DAY_MS)
    await other.lease(1, LONG_MS)
    await harness.advance(4_000)
    assert.equal((await leaseOne(other)).entry.attempts, 1)
  },

  'holds() is true during the lease and false after its expiry': async (harness) => {
    const queue = await harness.open()
    await queue.enqueue(one(), body)
    const held = await leaseOne(queue, 3_000)
    assert.equal(queue.holds(held), true)
    await harness.advance(3_100)
    assert.equal(queue.holds(held), false)
  },
}
