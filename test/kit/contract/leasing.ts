// Contract cases about enqueueing and leasing.
import assert from 'node:assert/strict'
import type { Lease } from '../../../server/queue/entry.ts'
import { QueueFullError } from '../../../server/queue/queue.ts'
import { ENTRY_VERSION } from '../../../server/queue/version.ts'
import { destination, entryFor } from '../queue/embedded-harness.ts'
import {
  waitUntilHolds,
  waitForCounts,
  leaseEach,
  leaseWhenDue,
  leaseOne,
  LONG_MS,
  SHORT_MS,
  type ContractCases,
} from '../queue/harness.ts'

const body = Buffer.from('Subject: x\r\n\r\nx\r\n')
const idsOf = (held: Lease[]) => held.map(({ entry }) => entry.id)

/** An entry that is due. */
export const due = (over: Parameters<typeof entryFor>[0] = {}) => entryFor({ dueMs: 0, ...over })

export const enqueueCases: ContractCases = {
  'an entry and its body come back unchanged': async (harness) => {
    const queue = await harness.open()
    const given = due({ eightBit: true, smtpUtf8: true })
    const binary = Buffer.from('Subject: é\r\n\r\n\0\xff binary \x1a', 'latin1')
    const id = await queue.enqueue(given, binary)
    const held = await leaseOne(queue)
    assert.deepEqual(held.entry, {
      ...given,
      sizeBytes: binary.length,
      id,
      version: ENTRY_VERSION,
      attempts: 0,
    })
    assert.ok(held.token.length >= 16)
    assert.deepEqual(await queue.body(held), binary)
  },

  'every character of an address comes back unchanged': async (harness) => {
    const queue = await harness.open()
    const reversePath = 'jürg+\u0007\u007f\u0085\ufffe\uffff😀"\\<>@exämple.com'
    await queue.enqueue(due({ reversePath, destinations: [destination('ü😀@example.net')] }), body)
    const { entry } = await leaseOne(queue)
    assert.equal(entry.reversePath, reversePath)
    assert.equal(entry.destinations[0]?.address, 'ü😀@example.net')
  },

  'bodies of every size come back byte for byte': async (harness) => {
    const queue = await harness.open()
    const sizes = [0, 1, 2_035, 4_096, 70_000, 131_072, 131_073, 1_048_576, 5_242_880]
    for (const size of sizes) await queue.enqueue(due(), Buffer.alloc(size, `${size}.`))
    const held = await leaseEach(queue, sizes.length, LONG_MS)
    const found = held.map(({ entry }) => entry.sizeBytes).sort((a, b) => a - b)
    assert.deepEqual(found, sizes)
    for (const lease of held) {
      const size = lease.entry.sizeBytes
      assert.ok((await queue.body(lease)).equals(Buffer.alloc(size, `${size}.`)), `${size} bytes`)
    }
  },

  'an envelope with the most recipients comes back unchanged': async (harness) => {
    const queue = await harness.open()
    const destinations = Array.from({ length: 200 }, (_, i) =>
      destination(`${i}.${'x'.repeat(240)}@example.net`),
    )
    await queue.enqueue(due({ destinations }), Buffer.alloc(100_000, 'x'))
    const held = await leaseOne(queue)
    assert.deepEqual(held.entry.destinations, destinations)
    const replied = destinations.map((each) => ({
      ...each,
      reply: 'r'.repeat(512),
      remoteHost: 'h'.repeat(253),
    }))
    assert.equal(await queue.record(held, replied), true)
  },

  'entries enqueued at the same time are all stored, each with its own id': async (harness) => {
    const queue = await harness.open()
    const ids = await Promise.all(Array.from({ length: 50 }, () => queue.enqueue(due(), body)))
    assert.equal(new Set(ids).size, 50)
    assert.deepEqual(idsOf(await leaseEach(queue, 50, LONG_MS)).sort(), ids.sort())
  },

  'ids sort by the time of their creation': async (harness) => {
    const queue = await harness.open()
    const ids: string[] = []
    for (let i = 0; i < 5; i++) {
      ids.push(await queue.enqueue(due(), body))
      await harness.advance(2)
    }
    assert.deepEqual(ids.toSorted(), ids)
  },

  'an invalid due time is refused': async (harness) => {
    const queue = await harness.open()
    await assert.rejects(queue.enqueue(due({ dueMs: NaN }), body), RangeError)
    await assert.rejects(queue.enqueue(due({ dueMs: -1 }), body), RangeError)
    await waitForCounts(queue, {})
  },

  'at its limit the queue refuses an entry and stores nothing': async (harness) => {
    const queue = await harness.open({ maxEntries: 3 })
    for (let i = 0; i < 3; i++) await queue.enqueue(due(), body)
    await assert.rejects(queue.enqueue(due(), body), QueueFullError)
    await waitForCounts(queue, { ready: 3 })
  },

  'a full queue accepts mail again after an entry was removed': async (harness) => {
    const queue = await harness.open({ maxEntries: 1 })
    await queue.enqueue(due(), body)
    await assert.rejects(queue.enqueue(due(), body), QueueFullError)
    assert.equal(await queue.settle(await leaseOne(queue), { kind: 'remove' }), true)
    await waitForCounts(queue, {})
    await queue.enqueue(due(), body)
  },

  'a queued entry is there after the queue was reopened': async (harness) => {
    const first = await harness.open()
    const id = await first.enqueue(due(), body)
    await first.close()
    const queue = await harness.open()
    const held = await leaseOne(queue)
    assert.equal(held.entry.id, id)
    assert.deepEqual(await queue.body(held), body)
  },
}

export const leaseCases: ContractCases = {
  'an empty queue leases nothing, and a lease of no entries takes none': async (harness) => {
    const queue = await harness.open()
    assert.deepEqual(await queue.lease(5, LONG_MS), [])
    await queue.enqueue(due(), body)
    assert.deepEqual(await queue.lease(0, LONG_MS), [])
    await waitForCounts(queue, { ready: 1 })
  },

  'a lease returns no more entries than asked for': async (harness) => {
    const queue = await harness.open()
    for (let i = 0; i < 15; i++) await queue.enqueue(due(), body)
    assert.ok((await queue.lease(3, LONG_MS)).length <= 3)
    assert.ok((await queue.lease(11, LONG_MS)).length <= 11)
  },

  'no two clients ever hold the same entry': async (harness) => {
    const clients = await Promise.all([harness.open(), harness.open(), harness.open()])
    const [first] = clients
    await Promise.all(Array.from({ length: 40 }, () => first.enqueue(due(), body)))
    const taken: string[] = []
    await waitUntilHolds(async () => {
      const held = await Promise.all(clients.map((client) => client.lease(4, LONG_MS)))
      taken.push(...idsOf(held.flat()))
      assert.equal(taken.length, 40)
    })
    assert.equal(new Set(taken).size, 40)
    assert.deepEqual((await Promise.all(clients.map((client) => client.lease(4, LONG_MS)))).flat(), [])
  },

  'an expired lease makes the entry due again for every client': async (harness) => {
    const [one, other] = [await harness.open(), await harness.open()]
    const id = await one.enqueue(due(), body)
    const first = await leaseOne(one, SHORT_MS)
    await harness.advance(SHORT_MS + 200)
    const second = await leaseOne(other)
    assert.equal(second.entry.id, id)
    assert.notEqual(second.token, first.token)
    assert.equal(second.entry.attempts, 0, 'nobody knows whether an attempt was made')
    assert.deepEqual(await other.body(second), body)
  },

  'an entry queued for later is not leased before its time': async (harness) => {
    const queue = await harness.open()
    const dueMs = harness.now() + 3_000
    const id = await queue.enqueue(due({ dueMs }), body)
    const { entry } = await leaseWhenDue(harness, queue, dueMs)
    assert.deepEqual([entry.id, entry.dueMs], [id, dueMs])
  },

  'every entry is counted once, in the right state, with equal counts in every client': async (harness) => {
    const [queue, other] = [await harness.open(), await harness.open()]
    await waitForCounts(other, {})
    for (let i = 0; i < 3; i++) await queue.enqueue(due(), body)
    await queue.enqueue(due({ dueMs: harness.now() + LONG_MS }), body)
    await waitForCounts(other, { ready: 3, deferred: 1 })
    const held = await leaseOne(queue)
    await waitForCounts(other, { ready: 2, inFlight: 1, deferred: 1 })
    await queue.settle(held, { kind: 'remove' })
    await waitForCounts(other, { ready: 2, deferred: 1 })
  },

  'an entry of an unknown version stays, is counted, and blocks no other': async (harness) => {
    const queue = await harness.open()
    await harness.addUnknown('from the future')
    const id = await queue.enqueue(due(), body)
    const held = await leaseOne(queue)
    assert.equal(held.entry.id, id)
    await queue.settle(held, { kind: 'remove' })
    for (let i = 0; i < 4; i++) {
      assert.deepEqual(await queue.lease(10, SHORT_MS), [])
      await harness.advance(SHORT_MS)
    }
    await waitForCounts(queue, { unknownVersion: 1 })
    assert.equal(await harness.countUnknown('from the future'), 1)
    assert.equal(harness.deadLetters(), 0)
  },
}
