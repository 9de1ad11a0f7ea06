// Counts what the shared queue holds. Owns: QueueStats. Reads only the ready, expired and unknown rows; lmdb keeps the
// other totals. Fails only if the queue is closed.
import type { Database } from 'lmdb'
import type { QueueStats } from '../entry.ts'
import { type IndexKey, type Layout, unknownVersions, rangeUpTo } from './layout.ts'
import { rowCount } from './rows.ts'
import { KNOWN_VERSIONS } from '../version.ts'

/** Counts at `nowMs` (ms since the epoch), all from one state of the queue. */
export function countQueue(layout: Layout, nowMs: number): QueueStats {
  layout.meta.resetReadTxn()
  const ready = rows(layout.due, KNOWN_VERSIONS, nowMs)
  const expired = rows(layout.expiries, KNOWN_VERSIONS, nowMs)
  const unknownDue = rows(layout.due, unknownVersions(layout.due), Infinity)
  const unknownExpired = rows(layout.expiries, unknownVersions(layout.expiries), nowMs)
  const due = rowCount(layout.due)
  const held = rowCount(layout.expiries)
  const oldestDueMs = Math.min(oldestReady(layout, nowMs), oldestExpired(layout, nowMs))
  return {
    ready: ready + expired,
    inFlight: held - expired - unknownExpired,
    deferred: due - ready - unknownDue,
    oldestReadyMs: oldestDueMs === Infinity ? 0 : Math.max(0, nowMs - oldestDueMs),
    unknownVersion: unknownDue + unknownExpired,
    entries: due + held,
    bytes: layout.meta.get('bytes') ?? 0,
  }
}

function oldestReady(layout: Layout, nowMs: number): number {
  const firsts = KNOWN_VERSIONS.flatMap((version) => [
    ...layout.due.getKeys({ ...rangeUpTo(version, nowMs), limit: 1 }),
  ])
  return Math.min(...firsts.map(([, dueMs]) => dueMs))
}

/** A row of an expired lease carries the dueMs of its entry. Such rows are few: the next lease() removes them. */
function oldestExpired(layout: Layout, nowMs: number): number {
  const expired = KNOWN_VERSIONS.flatMap((version) => [
    ...layout.expiries.getRange({ ...rangeUpTo(version, nowMs) }),
  ])
  return Math.min(...expired.map(({ value }) => value))
}

/** The number of rows of these versions up to `timeMs`. */
function rows(index: Database<number, IndexKey>, versions: readonly number[], timeMs: number): number {
  return versions.reduce((sum, version) => sum + index.getKeysCount(rangeUpTo(version, timeMs)), 0)
}
