// What the shared queue holds, counted. Owns: QueueStats. Walks only what is ready, what is expired and what is
// unknown; everything else comes from the totals lmdb keeps. Fails only if the queue is closed.
import type { Database } from 'lmdb'
import type { QueueStats } from './entry.ts'
import { KNOWN_VERSIONS, type IndexKey, type Layout, unknownRanges, upTo } from './layout.ts'
import { total } from './rows.ts'

/** Counts at `nowMs` (ms since the epoch), all from one state of the queue. */
export function countQueue(layout: Layout, nowMs: number): QueueStats {
  layout.meta.resetReadTxn()
  const ready = sum(KNOWN_VERSIONS.map((version) => rows(layout.due, upTo(version, nowMs))))
  const expired = sum(KNOWN_VERSIONS.map((version) => rows(layout.expiries, upTo(version, nowMs))))
  const unknown = sum(unknownRanges().map((range) => rows(layout.due, range)))
  const due = total(layout.due)
  const held = total(layout.expiries)
  const oldestDueMs = Math.min(oldestReady(layout, nowMs), oldestExpired(layout, nowMs))
  return {
    ready: ready + expired,
    inFlight: held - expired,
    deferred: due - ready - unknown,
    oldestReadyMs: oldestDueMs === Infinity ? 0 : Math.max(0, nowMs - oldestDueMs),
    unknownVersion: unknown,
    entries: due + held,
    bytes: layout.meta.get('bytes') ?? 0,
  }
}

function oldestReady(layout: Layout, nowMs: number): number {
  const firsts = KNOWN_VERSIONS.flatMap((version) => [
    ...layout.due.getKeys({ ...upTo(version, nowMs), limit: 1 }),
  ])
  return Math.min(...firsts.map(([, dueMs]) => dueMs))
}

/** Rows of expired leases carry the dueMs of their entry. There are few: the next lease() puts them back. */
function oldestExpired(layout: Layout, nowMs: number): number {
  const rows = KNOWN_VERSIONS.flatMap((version) => [...layout.expiries.getRange({ ...upTo(version, nowMs) })])
  return Math.min(...rows.map(({ value }) => value))
}

function rows(index: Database<number, IndexKey>, range: { start: IndexKey; end: IndexKey }): number {
  return index.getKeysCount({ ...range })
}

function sum(numbers: number[]): number {
  return numbers.reduce((whole, part) => whole + part, 0)
}
