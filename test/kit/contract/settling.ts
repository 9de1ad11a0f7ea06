// Contract cases about the end of a lease.
import assert from 'node:assert/strict'
import { destination, entryFor } from '../queue/embedded-harness.ts'
import { due } from './leasing.ts'
import {
  waitForCounts,
  leaseEach,
  leaseWhenDue,
  leaseOne,
  LONG_MS,
  type ContractCases,
} from '../queue/harness.ts'

const body = Buffer.from('Subject: x\r\n\r\nx\r\n')
const one = [destination('a@example.net')]
const pending = [destination('a@example.net'), destination('b@example.net')]
const halfway = [destination('a@example.net', 'delivered'), destination('b@example.net')]
const dsnEntry = entryFor({ reversePath: '', dueMs: 0, destinations: [destination('sender@example.com')] })
const dsn = (bytes = 3) => ({ entry: dsnEntry, body: Buffer.alloc(bytes, 'DSN') })

export const settlingCases: ContractCases = {
  'a removed entry is gone, with its body': async (harness) => {
    const queue = await harness.open()
    for (const destinations of [one, pending]) {
      await queue.enqueue(due({ destinations }), body)
      const held = await leaseOne(queue)
      assert.equal(await queue.settle(held, { kind: 'remove' }), true)
      await assert.rejects(async () => queue.body(held), /is gone/)
    }
    await waitForCounts(queue, {})
    assert.deepEqual(await queue.lease(1, LONG_MS), [])
  },

  'a removed large entry is gone': async (harness) => {
    const queue = await harness.open()
    await queue.enqueue(due({ destinations: one }), Buffer.alloc(1_000_000, 'x'))
    const held = await leaseOne(queue)
    assert.equal((await queue.body(held)).length, 1_000_000)
    assert.equal(await queue.settle(held, { kind: 'remove' }), true)
    await assert.rejects(async () => queue.body(held), /is gone/)
    await waitForCounts(queue, {})
  },

  'many holders settle at once': async (harness) => {
    const queue = await harness.open()
    await Promise.all(
      Array.from({ length: 30 }, (_, i) => queue.enqueue(due({ destinations: i % 2 ? one : pending }), body)),
    )
    const held = await leaseEach(queue, 30, LONG_MS)
    const settled = await Promise.all(held.map((lease) => queue.settle(lease, { kind: 'remove' })))
    assert.deepEqual(settled, Array(30).fill(true))
    await waitForCounts(queue, {})
  },

  'a DSN is queued once, with the settlement': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open()]
    const id = await queue.enqueue(due({ destinations: one }), body)
    assert.equal(await queue.settle(await leaseOne(queue), { kind: 'remove' }, dsn()), true)
    await waitForCounts(queue, { ready: 1 })
    const held = await leaseOne(other)
    assert.notEqual(held.entry.id, id)
    assert.equal(held.entry.reversePath, '')
    assert.deepEqual(held.entry.destinations, dsnEntry.destinations)
    assert.deepEqual(await other.body(held), Buffer.from('DSN'))
    assert.equal(await other.settle(held, { kind: 'remove' }), true)
    await waitForCounts(queue, {})
  },

  'a DSN of any size is queued': async (harness) => {
    const queue = await harness.open()
    for (const bytes of [0, 60_000, 70_000, 700_000]) {
      await queue.enqueue(due({ destinations: pending }), body)
      assert.equal(await queue.settle(await leaseOne(queue), { kind: 'remove' }, dsn(bytes)), true)
      const held = await leaseOne(queue)
      assert.ok((await queue.body(held)).equals(Buffer.alloc(bytes, 'DSN')), `${bytes} bytes`)
      await queue.settle(held, { kind: 'remove' })
    }
    await waitForCounts(queue, {})
  },

  'a DSN is queued even when the queue is full': async (harness) => {
    const queue = await harness.open({ maxEntries: 1 })
    await queue.enqueue(due({ destinations: pending }), body)
    const later = { kind: 'reschedule', dueMs: harness.now() + LONG_MS, destinations: halfway } as const
    assert.equal(await queue.settle(await leaseOne(queue), later, dsn()), true)
    await waitForCounts(queue, { ready: 1, deferred: 1 })
    assert.equal((await leaseOne(queue)).entry.reversePath, '')
  },

  'a lease ends once': async (harness) => {
    const queue = await harness.open()
    await queue.enqueue(due({ destinations: pending }), body)
    const held = await leaseOne(queue)
    assert.equal(await queue.settle(held, { kind: 'remove' }, dsn()), true)
    assert.equal(await queue.settle(held, { kind: 'remove' }, dsn()), false)
    assert.equal(await queue.settle(held, { kind: 'reschedule', dueMs: 0 }, dsn()), false)
    assert.equal(await queue.extend(held, LONG_MS), false)
    assert.equal(await queue.record(held, halfway), false)
    await queue.release(held)
    await waitForCounts(queue, { ready: 1 })
  },

  'a rescheduled entry is unchanged, with one more attempt': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open()]
    const given = due({ destinations: pending, eightBit: true })
    const id = await queue.enqueue(given, body)
    const dueMs = harness.now() + 2_000
    const held = await leaseOne(queue)
    const { entry } = held
    assert.equal(await queue.settle(held, { kind: 'reschedule', dueMs, destinations: halfway }), true)
    const again = await leaseWhenDue(harness, other, dueMs)
    assert.deepEqual(again.entry, { ...entry, id, attempts: 1, dueMs, destinations: halfway })
    assert.deepEqual(await other.body(again), body)
  },

  'an entry of one destination and a large body can be rescheduled': async (harness) => {
    const queue = await harness.open()
    const large = Buffer.alloc(300_000, 'large ')
    await queue.enqueue(due({ destinations: one }), large)
    const dueMs = harness.now() + 1_500
    assert.equal(await queue.settle(await leaseOne(queue), { kind: 'reschedule', dueMs }), true)
    const again = await leaseWhenDue(harness, queue, dueMs)
    assert.deepEqual([again.entry.attempts, again.entry.destinations], [1, one])
    assert.ok((await queue.body(again)).equals(large))
    assert.equal(await queue.settle(again, { kind: 'remove' }), true)
    await waitForCounts(queue, {})
  },

  'an entry rescheduled without destinations keeps the recorded ones': async (harness) => {
    const queue = await harness.open()
    await queue.enqueue(due({ destinations: pending }), body)
    const held = await leaseOne(queue)
    assert.equal(await queue.record(held, halfway), true)
    assert.equal(await queue.settle(held, { kind: 'reschedule', dueMs: 0 }), true)
    assert.deepEqual((await leaseOne(queue)).entry.destinations, halfway)
  },

  'an entry rescheduled by hours is deferred, not ready': async (harness) => {
    const queue = await harness.open()
    await queue.enqueue(due(), body)
    const dueMs = harness.now() + 7_200_000
    assert.equal(await queue.settle(await leaseOne(queue), { kind: 'reschedule', dueMs }), true)
    await waitForCounts(queue, { deferred: 1 })
    assert.deepEqual(await queue.lease(1, LONG_MS), [])
  },

  'a reschedule to an invalid time is refused, and the lease stays valid': async (harness) => {
    const queue = await harness.open()
    await queue.enqueue(due(), body)
    const held = await leaseOne(queue)
    await assert.rejects(
      async () => queue.settle(held, { kind: 'reschedule', dueMs: NaN }, dsn()),
      RangeError,
    )
    assert.equal(await queue.settle(held, { kind: 'remove' }), true)
    await waitForCounts(queue, {})
  },

  'an entry can be rescheduled many times': async (harness) => {
    const queue = await harness.open()
    const id = await queue.enqueue(due({ destinations: one }), body)
    for (let attempts = 0; attempts < 15; attempts++) {
      const held = await leaseOne(queue)
      assert.deepEqual([held.entry.id, held.entry.attempts], [id, attempts])
      assert.equal(await queue.settle(held, { kind: 'reschedule', dueMs: 0 }), true)
    }
    assert.equal((await leaseOne(queue)).entry.attempts, 15)
    await waitForCounts(queue, { inFlight: 1 })
    assert.equal(harness.deadLetters(), 0)
  },

  'a rescheduled entry is there after the queue was reopened': async (harness) => {
    const first = await harness.open()
    await first.enqueue(due({ destinations: pending }), body)
    const dueMs = harness.now() + 1_500
    await first.settle(await leaseOne(first), { kind: 'reschedule', dueMs, destinations: halfway })
    await first.close()
    const queue = await harness.open()
    const { entry } = await leaseWhenDue(harness, queue, dueMs)
    assert.deepEqual([entry.attempts, entry.destinations], [1, halfway])
  },
}
