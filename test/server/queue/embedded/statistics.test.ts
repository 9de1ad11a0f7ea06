// The counts of the queue, and its handling of entries of an unknown version.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { groupCommit, openEnvironment } from '../../../../server/queue/embedded/durable.ts'
import type { QueueStats } from '../../../../server/queue/entry.ts'
import { ENTRY_VERSION } from '../../../../server/queue/version.ts'
import { openLayout } from '../../../../server/queue/embedded/layout.ts'
import { createEntry as made } from '../../../../server/queue/new-entry.ts'
import { addLease, insertEntry } from '../../../../server/queue/embedded/rows.ts'
import {
  folderFor,
  LEASE_MS,
  entryFor,
  queueFor,
  START_MS,
  stoppedClock,
} from '../../../kit/queue/embedded-harness.ts'

const EMPTY: QueueStats = {
  ready: 0,
  inFlight: 0,
  deferred: 0,
  oldestReadyMs: 0,
  unknownVersion: 0,
  entries: 0,
  bytes: 0,
}

test('every entry is counted once, in the right state, with equal counts in every process', async (t) => {
  const clock = stoppedClock()
  const path = folderFor(t)
  const queue = await queueFor(t, { path, ...clock })
  const other = await queueFor(t, { path, ...clock })
  assert.deepEqual(queue.stats(), EMPTY)
  for (const dueMs of [-2000, -1000, 0, 1, 60_000]) {
    await queue.enqueue(entryFor({ dueMs: START_MS + dueMs }), Buffer.alloc(10))
  }
  const five = { ...EMPTY, entries: 5, bytes: 50 }
  assert.deepEqual(other.stats(), { ...five, ready: 3, deferred: 2, oldestReadyMs: 2000 })

  const [held] = await queue.lease(1, 1000)
  assert.ok(held)
  assert.deepEqual(other.stats(), { ...five, ready: 2, inFlight: 1, deferred: 2, oldestReadyMs: 1000 })

  clock.nowMs += 1000
  const expired = { ...five, ready: 4, deferred: 1, oldestReadyMs: 3000 }
  assert.deepEqual(other.stats(), expired, 'an expired lease is ready')

  for (const lease of await queue.lease(10, 1000)) await queue.settle(lease, { kind: 'remove' })
  assert.deepEqual(other.stats(), { ...EMPTY, deferred: 1, entries: 1, bytes: 10 })
  clock.nowMs += LEASE_MS
  for (const lease of await other.lease(10, 1000)) await other.settle(lease, { kind: 'remove' })
  assert.deepEqual(queue.stats(), EMPTY)
})

/** Puts `count` entries of the next release into the queue: due long since, and one held by someone long gone. */
async function addUnknown(t: TestContext, path: string, count: number): Promise<void> {
  const environment = openEnvironment(path, true, 1024 * 1024)
  const layout = openLayout(environment)
  const body = Buffer.from('from the future')
  await groupCommit(environment, Date.now).run(() => {
    for (let i = 0; i <= count; i++) {
      const entry = { ...made(entryFor({ dueMs: 1000 + i }), body, 0), version: ENTRY_VERSION + 1 }
      insertEntry(layout, entry, body)
      if (i === count) addLease(layout, entry, { token: 'theirs', expiresMs: START_MS + 1 })
    }
  })
  t.after(() => environment.close())
}

test('entries of an unknown version stay, are counted, and do not block the others', async (t) => {
  const clock = stoppedClock()
  const path = folderFor(t)
  const queue = await queueFor(t, { path, ...clock })
  await queue.enqueue(entryFor({ reversePath: 'known' }), Buffer.from('x'))
  await addUnknown(t, path, 300)
  const bytes = 301 * 'from the future'.length
  const counted = { ...EMPTY, unknownVersion: 300, inFlight: 1, ready: 1, entries: 302, bytes: bytes + 1 }
  assert.deepEqual(queue.stats(), counted)

  const taken = await queue.lease(10, LEASE_MS)
  assert.deepEqual(
    taken.map(({ entry }) => entry.reversePath),
    ['known'],
  )
  for (const lease of taken) await queue.settle(lease, { kind: 'remove' })
  clock.nowMs += LEASE_MS
  assert.deepEqual(await queue.lease(10, LEASE_MS), [])
  const left = { ...EMPTY, unknownVersion: 301, entries: 301, bytes }
  assert.deepEqual(queue.stats(), left, 'and the lease that expired is no longer in flight')
})

test('a damaged entry stays and does not block the others', async (t) => {
  const path = folderFor(t)
  const queue = await queueFor(t, { path, ...stoppedClock() })
  const damaged = await queue.enqueue(entryFor({ dueMs: 0 }), Buffer.from('x'))
  await queue.enqueue(entryFor({ reversePath: 'sound' }), Buffer.from('x'))
  const environment = openEnvironment(path, true, 1024 * 1024)
  t.after(() => environment.close())
  const { entries } = openLayout(environment)
  await groupCommit(environment, Date.now).run(() => void entries.put(damaged, '{"version":1,"id":'))
  const taken = await queue.lease(10, LEASE_MS)
  assert.deepEqual(
    taken.map(({ entry }) => entry.reversePath),
    ['sound'],
  )
  assert.equal(queue.stats().entries, 2)
})
