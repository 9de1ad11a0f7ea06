// What each case of the queue's contract gets: a queue of its own, and actions that the contract itself does not offer.
// The cases use it for both engines.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lease } from '../../../server/queue/entry.ts'
import type { Queue } from '../../../server/queue/queue.ts'

export type QueueHarness = {
  /** Opens the queue once more, as another process would; closed after the test. */
  open: (options?: { maxEntries?: number; longestWaitMs?: (attempts: number) => number }) => Promise<Queue>
  /** The queue's clock, ms since the epoch. */
  now: () => number
  /** Lets `ms` pass. */
  advance: (ms: number) => Promise<void>
  /** Sets the wall clock of all clients forward by `ms`. No time passes. */
  step: (ms: number) => void
  /** Adds an entry of the next version that contains this text. */
  addUnknown: (text: string) => Promise<void>
  /** How many entries of the next version with this text the queue's storage holds. */
  countUnknown: (text: string) => Promise<number>
  /** Messages in the dead-letter queue. */
  deadLetters: () => number
}

/** Cases by title. */
export type ContractCases = Record<string, (harness: QueueHarness) => Promise<void>>

/** Longer than any case runs, even on a slow machine. */
export const LONG_MS = 600_000

/** A lease that expires within a test. On AWS leases are whole seconds. */
export const SHORT_MS = 1_000

/** A lease that survives a few calls and still expires within a test. */
export const MEDIUM_MS = 8_000

/** Time for anything that an engine may do later. */
const PATIENCE_MS = 60_000

/** Leases until `count` entries are held, since an engine may return fewer at once. */
export async function leaseEach(queue: Queue, count: number, leaseMs: number): Promise<Lease[]> {
  const held: Lease[] = []
  await waitUntilHolds(async () => {
    held.push(...(await queue.lease(count - held.length, leaseMs)))
    assert.equal(held.length, count)
  })
  return held
}

export async function leaseOne(queue: Queue, leaseMs = LONG_MS): Promise<Lease> {
  const [held] = await leaseEach(queue, 1, leaseMs)
  assert.ok(held)
  return held
}

/** Leases the entry as early as possible and checks that this is not before `dueMs`. */
export async function leaseWhenDue(
  harness: Pick<QueueHarness, 'now' | 'advance'>,
  queue: Queue,
  dueMs: number,
): Promise<Lease> {
  const [early] = await queue.lease(1, LONG_MS)
  assert.ok(early === undefined || harness.now() >= dueMs, 'leased before it was due')
  if (early !== undefined) return early
  await harness.advance(Math.max(0, dueMs - harness.now()))
  const held = await leaseOne(queue)
  assert.ok(harness.now() >= dueMs, 'leased before it was due')
  return held
}

/** Waits until the queue's counts equal `expected`, with zero for the rest. */
export async function waitForCounts(queue: Queue, expected: Partial<Record<Counted, number>>): Promise<void> {
  const counts = { ready: 0, inFlight: 0, deferred: 0, unknownVersion: 0, ...expected }
  const entries = Object.values(counts).reduce((sum, count) => sum + count, 0)
  await waitUntilHolds(async () => {
    const { ready, inFlight, deferred, unknownVersion, entries: all } = await queue.stats()
    assert.deepEqual({ ready, inFlight, deferred, unknownVersion, entries: all }, { ...counts, entries })
  })
}

type Counted = 'ready' | 'inFlight' | 'deferred' | 'unknownVersion'

/** Repeats the check until it passes. */
export async function waitUntilHolds(check: () => Promise<void>): Promise<void> {
  for (const endMs = Date.now() + PATIENCE_MS; ; await sleep(50)) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > endMs) throw error
    }
  }
}
