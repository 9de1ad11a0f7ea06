// What a case of the contract is given: one queue that nobody else uses, and what it cannot do to it through the
// contract itself. Owns: the words in which the cases speak of both engines.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lease } from '../../../server/queue/entry.ts'
import type { Queue } from '../../../server/queue/queue.ts'

export type QueueHarness = {
  /** Opens the queue once more, as another process would; closed after the test. */
  open: (options?: { maxEntries?: number; longestWaitMs?: (attempts: number) => number }) => Promise<Queue>
  /** Ms since the epoch, as the queue has it. */
  now: () => number
  /** Lets `ms` pass. */
  advance: (ms: number) => Promise<void>
  /** Sets the wall clock, as all clients read it, forward by `ms`. No time passes. */
  step: (ms: number) => void
  /** Puts in an entry of the next version, with this text somewhere in it. */
  addUnknown: (text: string) => Promise<void>
  /** How many entries of the next version, with this text in it, the queue's storage holds. */
  countUnknown: (text: string) => Promise<number>
  /** Entries that were given up as they were received too often. */
  deadLetters: () => number
}

/** Cases by what they show. */
export type ContractCases = Record<string, (harness: QueueHarness) => Promise<void>>

/** Long enough for whatever a case does, however slow the machine. */
export const LONG_MS = 600_000

/** A lease to let run out. On AWS they are whole seconds. */
export const SHORT_MS = 1_000

/** A lease that is still there a few calls later, and can be waited for. */
export const MEDIUM_MS = 8_000

/** For everything that an engine may do a little later. */
const PATIENCE_MS = 60_000

/** Leases until `count` entries are held: an engine may give out fewer at once than there are. */
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

/** Takes the entry at the first opportunity, and sees to it that this is not before `dueMs`. */
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

/** The queue holds `expected`, sooner or later, and nothing else. */
export async function waitForCounts(queue: Queue, expected: Partial<Record<Counted, number>>): Promise<void> {
  const counts = { ready: 0, inFlight: 0, deferred: 0, unknownVersion: 0, ...expected }
  const entries = Object.values(counts).reduce((sum, count) => sum + count, 0)
  await waitUntilHolds(async () => {
    const { ready, inFlight, deferred, unknownVersion, entries: all } = await queue.stats()
    assert.deepEqual({ ready, inFlight, deferred, unknownVersion, entries: all }, { ...counts, entries })
  })
}

type Counted = 'ready' | 'inFlight' | 'deferred' | 'unknownVersion'

/** Asks until it holds. */
export async function waitUntilHolds(check: () => Promise<void>): Promise<void> {
  for (const endMs = Date.now() + PATIENCE_MS; ; await sleep(50)) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > endMs) throw error
    }
  }
}
