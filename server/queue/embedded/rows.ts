// The row changes that make up a transaction. Owns: an entry, its body, its index rows and the byte count change together.
// Each function that writes runs inside a transaction of durable.ts and writes only after it has read and decided. An
// entry is in exactly one index: in `due` without a lease, else in `expiries`, with a row in `holders`.
import type { Database } from 'lmdb'
import type { Entry } from '../entry.ts'
import { decodeEntry, encodeEntry, rangeUpTo, type Holder, type IndexKey, type Layout } from './layout.ts'
import { KNOWN_VERSIONS } from '../version.ts'

/** Most expired leases ended in one transaction; the next transaction takes more. */
const EXPIRED_PER_TRANSACTION = 1000

export function insertEntry(layout: Layout, entry: Entry, body: Buffer): void {
  addBytes(layout, body.length)
  void layout.bodies.put(entry.id, body)
  makeDue(layout, entry)
}

/** Removes an entry that is in no index any more. */
export function removeEntry(layout: Layout, entry: Entry): void {
  addBytes(layout, -entry.sizeBytes)
  void layout.entries.remove(entry.id)
  void layout.bodies.remove(entry.id)
}

/** Stores `entry` and makes it due at its dueMs. */
export function makeDue(layout: Layout, entry: Entry): void {
  updateEntry(layout, entry)
  void layout.due.put(indexKey(entry, entry.dueMs), 0)
}

export function updateEntry(layout: Layout, entry: Entry): void {
  void layout.entries.put(entry.id, encodeEntry(entry))
}

export function readEntry(layout: Layout, id: string): Entry | undefined {
  return decodeEntry(layout.entries.get(id))
}

export function addLease(layout: Layout, entry: Entry, holder: Holder): void {
  void layout.due.remove(indexKey(entry, entry.dueMs))
  void layout.holders.put(entry.id, holder)
  void layout.expiries.put(indexKey(entry, holder.expiresMs), entry.dueMs)
}

/** Ends a lease. The caller must then index the entry again, or remove it. */
export function removeLease(layout: Layout, entry: Entry, holder: Holder): void {
  void layout.holders.remove(entry.id)
  void layout.expiries.remove(indexKey(entry, holder.expiresMs))
}

/** The longest lease (delivery.leaseMs). A clock that was ahead wrote any lease that ends later. */
const LONGEST_LEASE_MS = 600_000

/** Makes the entries due again whose lease has expired by `nowMs`, or ends later than any lease can. */
export function expireLeases(layout: Layout, nowMs: number): void {
  const expired = KNOWN_VERSIONS.flatMap((version) => [
    ...layout.expiries.getRange({ ...rangeUpTo(version, nowMs), limit: EXPIRED_PER_TRANSACTION }),
    ...layout.expiries.getRange({ ...impossibleExpiries(version, nowMs), limit: EXPIRED_PER_TRANSACTION }),
  ])
  for (const { key, value: dueMs } of expired) {
    const [version, , id] = key
    void layout.expiries.remove(key)
    void layout.holders.remove(id)
    void layout.due.put([version, dueMs, id], 0)
  }
}

/** Whether any entry is due or any lease has expired by `nowMs`. Reads without a transaction. */
export function hasDue(layout: Layout, nowMs: number): boolean {
  layout.meta.resetReadTxn()
  if (hasImpossibleLease(layout, nowMs)) return true
  return KNOWN_VERSIONS.some((version) =>
    [layout.due, layout.expiries].some((index) => {
      const [first] = index.getKeys({ ...rangeUpTo(version, nowMs), limit: 1 })
      return first !== undefined
    }),
  )
}

/** Whether the entry is still in the queue. Reads without a transaction. */
export function hasEntry(layout: Layout, id: string): boolean {
  layout.meta.resetReadTxn()
  return layout.entries.doesExist(id)
}

/** Whether a lease ends later than any lease can. */
function hasImpossibleLease(layout: Layout, nowMs: number): boolean {
  return KNOWN_VERSIONS.some(
    (version) => layout.expiries.getKeysCount({ ...impossibleExpiries(version, nowMs), limit: 1 }) > 0,
  )
}

function impossibleExpiries(version: number, nowMs: number): { start: IndexKey; end: IndexKey } {
  return { start: [version, nowMs + LONGEST_LEASE_MS + 1, ''], end: [version + 1, 0, ''] }
}

/** Up to `max` entries that are due by `nowMs`, the longest due first. */
export function longestDue(layout: Layout, nowMs: number, max: number): Entry[] {
  const found = KNOWN_VERSIONS.flatMap((version) => readable(layout, version, nowMs, max))
  return found.sort((a, b) => a.dueMs - b.dueMs).slice(0, max)
}

/** Skips entries that cannot be read. They stay queued and do not block the others. */
function readable(layout: Layout, version: number, nowMs: number, max: number): Entry[] {
  const found: Entry[] = []
  if (max <= 0) return found
  for (const [, , id] of layout.due.getKeys(rangeUpTo(version, nowMs))) {
    const entry = readEntry(layout, id)
    if (entry !== undefined) found.push(entry)
    if (found.length >= max) break
  }
  return found
}

/** The number of rows, from lmdb's own count. */
export function rowCount(database: Pick<Database, 'getStats'>): number {
  return (database.getStats() as { entryCount: number }).entryCount
}

function addBytes({ meta }: Layout, bytes: number): void {
  void meta.put('bytes', (meta.get('bytes') ?? 0) + bytes)
}

function indexKey({ version, id }: Entry, timeMs: number): IndexKey {
  return [version, timeMs, id]
}
