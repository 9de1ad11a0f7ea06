// The queue in one process: entries come out unchanged, in order, once at a time, and within the limits.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QueueFullError } from '../../../../server/queue/queue.ts'
import type { Lease } from '../../../../server/queue/entry.ts'
import { ENTRY_VERSION } from '../../../../server/queue/version.ts'
import {
  destination,
  folderFor,
  LEASE_MS,
  entryFor,
  queueFor,
  START_MS,
  stoppedClock,
} from '../../../kit/queue/embedded-harness.ts'

const due = (queued: Lease[]) => queued.map(({ entry }) => entry.reversePath)

test('an entry and its body come back unchanged', async (t) => {
  const queue = await queueFor(t, stoppedClock())
  const given = entryFor({ eightBit: true, smtpUtf8: true, reversePath: 'jürg@example.com' })
  const body = Buffer.from('Subject: é\r\n\r\n\0\xff binary', 'latin1')
  const id = await queue.enqueue(given, body)
  const [held] = await queue.lease(1, LEASE_MS)
  assert.ok(held)
  const { token, ...rest } = held
  const entry = { ...given, sizeBytes: body.length, id, version: ENTRY_VERSION, attempts: 0 }
  const ends = START_MS + LEASE_MS
  assert.deepEqual(rest, { entry, expiresMs: ends, monotonicExpiresMs: ends })
  assert.ok(token.length >= 16)
  assert.deepEqual(queue.body(held), body)
})

test('bodies of every size come back byte for byte', async (t) => {
  const queue = await queueFor(t)
  const sizes = [0, 1, 2000, 2035, 2036, 4080, 4096, 70_000, 5 * 1024 * 1024]
  for (const size of sizes) await queue.enqueue(entryFor({ dueMs: size }), Buffer.alloc(size, `${size}.`))
  const held = await queue.lease(sizes.length, LEASE_MS)
  assert.deepEqual(
    held.map((lease) => lease.entry.sizeBytes),
    sizes,
  )
  for (const lease of held) {
    const size = lease.entry.sizeBytes
    assert.ok(queue.body(lease).equals(Buffer.alloc(size, `${size}.`)), `${size} bytes`)
  }
})

test('the longest due entry comes first, and a later one is not leased', async (t) => {
  const queue = await queueFor(t, stoppedClock())
  for (const lateMs of [5, -3, 0, 900, -1, 1]) {
    await queue.enqueue(entryFor({ dueMs: START_MS - lateMs, reversePath: `${lateMs}` }), Buffer.from('x'))
  }
  assert.deepEqual(due(await queue.lease(2, LEASE_MS)), ['900', '5'])
  assert.deepEqual(due(await queue.lease(10, LEASE_MS)), ['1', '0'])
  assert.deepEqual(await queue.lease(10, LEASE_MS), [])
})

test('a lease of no entries and a lease from an empty queue return nothing', async (t) => {
  const queue = await queueFor(t)
  assert.deepEqual(await queue.lease(5, LEASE_MS), [])
  await queue.enqueue(entryFor({ dueMs: 0 }), Buffer.from('x'))
  assert.deepEqual(await queue.lease(0, LEASE_MS), [])
  assert.equal(queue.stats().ready, 1)
})

test('an expired lease makes its entry due again, ahead of entries that became due later', async (t) => {
  const clock = stoppedClock()
  const queue = await queueFor(t, clock)
  await queue.enqueue(entryFor({ dueMs: START_MS - 10, reversePath: 'old' }), Buffer.from('x'))
  const [first] = await queue.lease(1, 1000)
  await queue.enqueue(entryFor({ dueMs: START_MS - 5, reversePath: 'new' }), Buffer.from('x'))
  clock.nowMs += 999
  assert.deepEqual(due(await queue.lease(5, 1000)), ['new'])
  clock.nowMs += 1
  const [second] = await queue.lease(1, 1000)
  assert.equal(second?.entry.reversePath, 'old')
  assert.notEqual(second?.token, first?.token)
  assert.equal(second?.entry.attempts, 0)
})

test('a holder with an expired lease can change nothing, even before another leases the entry', async (t) => {
  const clock = stoppedClock()
  const queue = await queueFor(t, clock)
  await queue.enqueue(entryFor(), Buffer.from('x'))
  const [lost] = await queue.lease(1, 1000)
  assert.ok(lost)
  clock.nowMs += 1000
  const changesNothing = async () => {
    const dsn = { entry: entryFor({ reversePath: '' }), body: Buffer.from('dsn') }
    assert.equal(await queue.record(lost, [destination('a@example.net', 'delivered')]), false)
    assert.equal(await queue.extend(lost, 1000), false)
    assert.equal(await queue.settle(lost, { kind: 'remove' }, dsn), false)
    assert.equal(await queue.settle(lost, { kind: 'reschedule', dueMs: START_MS + 5000 }, dsn), false)
    await queue.release(lost)
    assert.equal(queue.stats().entries, 1)
  }
  await changesNothing()
  const [taken] = await queue.lease(1, 1000)
  assert.ok(taken)
  await changesNothing()
  assert.deepEqual(taken.entry.destinations, entryFor().destinations)
  assert.equal(await queue.settle(taken, { kind: 'remove' }), true)
  assert.equal(await queue.settle(taken, { kind: 'remove' }), false)
  assert.throws(() => queue.body(taken), /lease was lost/)
})

test('an extended lease starts anew at the extension', async (t) => {
  const clock = stoppedClock()
  const queue = await queueFor(t, clock)
  await queue.enqueue(entryFor(), Buffer.from('x'))
  const [held] = await queue.lease(1, 1000)
  assert.ok(held)
  clock.nowMs += 900
  assert.equal(await queue.extend(held, 1000), true)
  assert.equal(held.expiresMs, START_MS + 1900)
  clock.nowMs += 900
  assert.deepEqual(await queue.lease(1, 1000), [])
  assert.equal(queue.stats().inFlight, 1)
  clock.nowMs += 100
  assert.equal(queue.stats().inFlight, 0)
  assert.equal((await queue.lease(1, 1000)).length, 1)
})

test('the next holder finds the recorded destinations', async (t) => {
  const clock = stoppedClock()
  const queue = await queueFor(t, clock)
  await queue.enqueue(entryFor(), Buffer.from('x'))
  const [held] = await queue.lease(1, 1000)
  assert.ok(held)
  const destinations = [destination('a@example.net', 'delivered'), destination('b@example.net')]
  assert.equal(await queue.record(held, destinations), true)
  clock.nowMs += 1000
  const [next] = await queue.lease(1, 1000)
  assert.deepEqual(next?.entry.destinations, destinations)
})

test('a rescheduled entry is due at its new time, with one more attempt and the recorded destinations', async (t) => {
  const clock = stoppedClock()
  const queue = await queueFor(t, clock)
  await queue.enqueue(entryFor(), Buffer.from('body'))
  const [held] = await queue.lease(1, LEASE_MS)
  assert.ok(held)
  const destinations = [destination('a@example.net', 'delivered'), destination('b@example.net')]
  await queue.record(held, destinations)
  assert.equal(await queue.settle(held, { kind: 'reschedule', dueMs: START_MS + 500 }), true)
  assert.deepEqual(await queue.lease(1, LEASE_MS), [])
  clock.nowMs += 500
  const [again] = await queue.lease(1, LEASE_MS)
  assert.ok(again)
  assert.deepEqual(again.entry, { ...held.entry, destinations, dueMs: START_MS + 500, attempts: 1 })
  assert.equal(queue.body(again).toString(), 'body')
})

test('a reschedule can store the state of the destinations', async (t) => {
  const queue = await queueFor(t, stoppedClock())
  await queue.enqueue(entryFor(), Buffer.from('body'))
  const [held] = await queue.lease(1, LEASE_MS)
  assert.ok(held)
  const destinations = [destination('a@example.net', 'failed'), destination('b@example.net')]
  assert.equal(await queue.settle(held, { kind: 'reschedule', dueMs: START_MS, destinations }), true)
  assert.deepEqual((await queue.lease(1, LEASE_MS))[0]?.entry.destinations, destinations)
})

test('a released entry is due at once in its old place, and no attempt is counted', async (t) => {
  const queue = await queueFor(t, stoppedClock())
  await queue.enqueue(entryFor({ dueMs: START_MS - 9, reversePath: 'released' }), Buffer.from('x'))
  const [held] = await queue.lease(1, LEASE_MS)
  assert.ok(held)
  await queue.enqueue(entryFor({ dueMs: START_MS - 1, reversePath: 'other' }), Buffer.from('x'))
  await queue.release(held)
  const next = await queue.lease(2, LEASE_MS)
  assert.deepEqual(due(next), ['released', 'other'])
  assert.equal(next[0]?.entry.attempts, 0)
})

test('a settlement and its DSN are stored together', async (t) => {
  const queue = await queueFor(t, { ...stoppedClock(), maxEntries: 2 })
  await queue.enqueue(entryFor(), Buffer.from('one'))
  await queue.enqueue(entryFor({ dueMs: START_MS + 1 }), Buffer.from('two'))
  const [held] = await queue.lease(1, LEASE_MS)
  assert.ok(held)
  const dsn = { entry: entryFor({ reversePath: '' }), body: Buffer.from('a DSN') }
  const outcome = { kind: 'reschedule', dueMs: START_MS + 9 } as const
  assert.equal(await queue.settle(held, outcome, dsn), true, 'regardless of the bounds')
  const [notice] = await queue.lease(9, LEASE_MS)
  assert.ok(notice)
  assert.equal(notice.entry.reversePath, '')
  assert.equal(queue.body(notice).toString(), 'a DSN')
  assert.equal(queue.stats().entries, 3)
})

test('at maxEntries and at maxBytes an enqueue is refused, until there is room again', async (t) => {
  const queue = await queueFor(t, { ...stoppedClock(), maxEntries: 3, maxBytes: 100 })
  const refused = (size: number) =>
    assert.rejects(queue.enqueue(entryFor(), Buffer.alloc(size)), QueueFullError)
  await queue.enqueue(entryFor({ dueMs: START_MS - 1 }), Buffer.alloc(60))
  await refused(41)
  await queue.enqueue(entryFor(), Buffer.alloc(40))
  await refused(1)
  await queue.enqueue(entryFor(), Buffer.alloc(0))
  await refused(0)
  const [held] = await queue.lease(1, LEASE_MS)
  assert.ok(held)
  await refused(0)
  await queue.settle(held, { kind: 'remove' })
  await assert.doesNotReject(queue.enqueue(entryFor(), Buffer.alloc(60)))
  assert.equal(queue.stats().bytes, 100)
})

test('concurrent enqueues do not exceed the limit together', async (t) => {
  const queue = await queueFor(t, { maxEntries: 10 })
  const attempts = Array.from({ length: 50 }, () => queue.enqueue(entryFor(), Buffer.from('x')))
  const results = await Promise.allSettled(attempts)
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 10)
  assert.equal(queue.stats().entries, 10)
})

test('an invalid due time is refused before anything is stored', async (t) => {
  const queue = await queueFor(t)
  await assert.rejects(queue.enqueue(entryFor({ dueMs: Number.NaN }), Buffer.from('x')), RangeError)
  await queue.enqueue(entryFor(), Buffer.from('x'))
  const [held] = await queue.lease(1, LEASE_MS)
  assert.equal(held, undefined, 'due in 2030')
  assert.equal(queue.stats().entries, 1)
})

test('ids are unique and sort by time', async (t) => {
  const clock = stoppedClock()
  const queue = await queueFor(t, clock)
  const ids: string[] = []
  for (let i = 0; i < 20; i++) {
    ids.push(...(await Promise.all([1, 2, 3].map(() => queue.enqueue(entryFor(), Buffer.from('x'))))).sort())
    clock.nowMs += 1 + i ** 6
  }
  assert.equal(new Set(ids).size, 60)
  assert.deepEqual(ids.toSorted(), ids)
})

test('a reopened queue has the same entries, leases, recorded states and counts', async (t) => {
  const clock = stoppedClock()
  const path = folderFor(t)
  const before = await queueFor(t, { path, ...clock })
  for (const sender of ['held', 'waiting'])
    await before.enqueue(entryFor({ reversePath: sender }), Buffer.from(sender))
  const [held] = await before.lease(1, LEASE_MS)
  assert.ok(held)
  await before.record(held, [destination('a@example.net', 'delivered')])
  const stats = before.stats()
  await before.close()

  const after = await queueFor(t, { path, ...clock })
  assert.deepEqual(after.stats(), stats)
  assert.equal(await after.settle(held, { kind: 'reschedule', dueMs: START_MS }), true)
  const found = await after.lease(5, LEASE_MS)
  assert.deepEqual(due(found).sort(), ['held', 'waiting'])
  for (const lease of found) assert.equal(after.body(lease).toString(), lease.entry.reversePath)
})
