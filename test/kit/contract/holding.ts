// Contract cases about a lease: extending, recording, releasing, and losing it.
import assert from 'node:assert/strict'
import { destination, entryFor } from '../queue/embedded-harness.ts'
import { due } from './leasing.ts'
import {
  waitForCounts,
  leaseWhenDue,
  leaseOne,
  LONG_MS,
  MEDIUM_MS,
  SHORT_MS,
  type ContractCases,
  type QueueHarness,
} from '../queue/harness.ts'

const body = Buffer.from('Subject: x\r\n\r\nx\r\n')
const pending = [destination('a@example.net'), destination('b@example.net')]
const halfway = [destination('a@example.net', 'delivered'), destination('b@example.net')]
const notice = () => ({ entry: entryFor({ reversePath: '', dueMs: 0 }), body: Buffer.from('DSN') })

export const holdingCases: ContractCases = {
  'an extended lease outlasts its first expiry': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open()]
    await queue.enqueue(due(), body)
    const held = await leaseOne(queue, MEDIUM_MS)
    const before = held.expiresMs
    assert.equal(await queue.extend(held, LONG_MS), true)
    assert.ok(held.expiresMs > before)
    await harness.advance(MEDIUM_MS + 500)
    assert.deepEqual(await other.lease(1, LONG_MS), [])
    assert.equal(await queue.settle(held, { kind: 'remove' }), true)
  },

  'a lease of one destination can be extended too': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open()]
    await queue.enqueue(due({ destinations: [destination('a@example.net')] }), body)
    const held = await leaseOne(queue, MEDIUM_MS)
    assert.equal(await queue.extend(held, LONG_MS), true)
    await harness.advance(MEDIUM_MS + 500)
    assert.deepEqual(await other.lease(1, LONG_MS), [])
    assert.equal(await queue.record(held, [destination('a@example.net', 'delivered')]), true)
    assert.equal(await queue.extend(held, LONG_MS), true)
    assert.equal(await queue.settle(held, { kind: 'remove' }), true)
    await waitForCounts(other, {})
  },

  'the next holder sees what was recorded': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open()]
    await queue.enqueue(due({ destinations: pending }), body)
    const held = await leaseOne(queue)
    const reply = { reply: '250 2.0.0 ok – wörk', status: '2.0.0', remoteHost: 'mx.example.net' }
    const [first, second] = halfway
    assert.ok(first && second)
    const recorded = [{ ...first, ...reply }, second]
    assert.equal(await queue.record(held, recorded), true)
    await queue.release(held)
    assert.deepEqual((await leaseOne(other)).entry.destinations, recorded)
  },

  'the last of several records counts': async (harness) => {
    const queue = await harness.open()
    await queue.enqueue(due({ destinations: pending }), body)
    const held = await leaseOne(queue)
    for (const destinations of [pending, halfway, pending, halfway])
      assert.equal(await queue.record(held, destinations), true)
    await queue.release(held)
    assert.deepEqual((await leaseOne(queue)).entry.destinations, halfway)
  },

  'the record of a holder that died is kept': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open()]
    const [one] = pending
    assert.ok(one)
    await queue.enqueue(due({ destinations: [one] }), body)
    const held = await leaseOne(queue, MEDIUM_MS)
    assert.equal(await queue.record(held, [{ ...one, state: 'delivered' }]), true)
    await harness.advance(MEDIUM_MS + 200)
    assert.deepEqual((await leaseOne(other)).entry.destinations, [{ ...one, state: 'delivered' }])
  },

  'a released entry is due at once, and no attempt is counted': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open()]
    const id = await queue.enqueue(due(), body)
    await queue.release(await leaseOne(queue))
    const { entry } = await leaseOne(other)
    assert.deepEqual([entry.id, entry.attempts], [id, 0])
  },

  'a holder that released an entry can change nothing': async (harness) => {
    const queue = await harness.open()
    await queue.enqueue(due({ destinations: pending }), body)
    const held = await leaseOne(queue)
    await queue.release(held)
    await changesNothing(harness, queue, held)
  },

  'a lost lease is not extended': async (harness) => {
    const queue = await harness.open()
    await queue.enqueue(due(), body)
    const held = await expired(harness, queue)
    const { expiresMs } = held
    assert.equal(await queue.extend(held, LONG_MS), false)
    assert.equal(held.expiresMs, expiresMs)
    await leaseOne(queue)
  },

  'a lost lease changes nothing': async (harness) => {
    const queue = await harness.open()
    await queue.enqueue(due({ destinations: pending }), body)
    await changesNothing(harness, queue, await expired(harness, queue))
  },

  'a lost lease changes nothing when another holds the entry': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open()]
    await queue.enqueue(due({ destinations: pending }), body)
    const lost = await expired(harness, queue)
    const held = await leaseOne(other)
    assert.equal(await queue.extend(lost, LONG_MS), false)
    assert.equal(await queue.record(lost, halfway), false)
    assert.equal(await queue.settle(lost, { kind: 'remove' }, notice()), false)
    await queue.release(lost)
    assert.deepEqual(await other.lease(1, LONG_MS), [], 'it is still held')
    assert.equal(await other.settle(held, { kind: 'remove' }), true)
    await waitForCounts(other, {})
  },

  'a lease with a forged token changes nothing': async (harness) => {
    const queue = await harness.open()
    await queue.enqueue(due({ destinations: pending }), body)
    const held = await leaseOne(queue)
    const forged = { ...held, token: 'x'.repeat(16) }
    assert.equal(await queue.extend(forged, LONG_MS), false)
    assert.equal(await queue.record(forged, halfway), false)
    assert.equal(await queue.settle(forged, { kind: 'remove' }, notice()), false)
    await queue.release(forged)
    await waitForCounts(queue, { inFlight: 1 })
  },

  'an entry survives many releases': async (harness) => {
    const queue = await harness.open()
    const id = await queue.enqueue(due(), body)
    for (let i = 0; i < 8; i++) await queue.release(await leaseOne(queue))
    assert.equal((await leaseOne(queue)).entry.id, id)
    assert.equal(harness.deadLetters(), 0)
  },

  'the canary counts as settled once it has left the queue, not before': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open()]
    const id = await queue.enqueue(due({ canary: true, destinations: [destination('a@example.net')] }), body)
    assert.equal(await queue.settled(id), false)
    const held = await leaseOne(other)
    assert.equal(held.entry.canary, true)
    assert.equal(await queue.settled(id), false)
    assert.equal(await other.settle(held, { kind: 'remove' }), true)
    assert.equal(await queue.settled(id), true)
  },

  'a rescheduled canary does not count as settled': async (harness) => {
    const queue = await harness.open()
    const id = await queue.enqueue(due({ canary: true }), body)
    const dueMs = harness.now() + 1_000
    await queue.settle(await leaseOne(queue), { kind: 'reschedule', dueMs })
    assert.equal(await queue.settled(id), false)
    await queue.settle(await leaseWhenDue(harness, queue, dueMs), { kind: 'remove' })
    assert.equal(await queue.settled(id), true)
  },

  'a working queue reports no failure': async (harness) => {
    const queue = await harness.open()
    await queue.enqueue(due(), body)
    assert.equal(queue.failure(), undefined)
    assert.ok(queue.statsMs > 0)
  },
}

type Queue = Awaited<ReturnType<QueueHarness['open']>>
type Lease = Awaited<ReturnType<typeof leaseOne>>

async function expired(harness: QueueHarness, queue: Queue): Promise<Lease> {
  const held = await leaseOne(queue, SHORT_MS)
  await harness.advance(SHORT_MS + 200)
  return held
}

/** Tries every change with a lost lease. The entry, with the destinations `pending`, must stay unchanged. */
async function changesNothing(harness: QueueHarness, queue: Queue, lost: Lease): Promise<void> {
  assert.equal(await queue.record(lost, halfway), false)
  assert.equal(await queue.settle(lost, { kind: 'remove' }, notice()), false)
  const later = { kind: 'reschedule', dueMs: harness.now() + LONG_MS, destinations: halfway } as const
  assert.equal(await queue.settle(lost, later, notice()), false)
  assert.equal(await queue.extend(lost, LONG_MS), false)
  await queue.release(lost)
  const { entry } = await leaseOne(queue)
  assert.deepEqual([entry.id, entry.attempts, entry.destinations], [lost.entry.id, 0, pending])
  await waitForCounts(queue, { inFlight: 1 })
}
