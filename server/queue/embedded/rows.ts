// The changes a transaction is made of. Owns: that an entry, its body, its index rows and the byte count change together.
// Every function runs inside a transaction of durable.ts and writes only after it has read and decided.
// An entry is in exactly one index: `due` if nobody holds it, else `expiries`, with its holder beside.
import type { Database } from 'lmdb'
import type { Entry } from '../entry.ts'
import { decodeEntry, encodeEntry, upTo, type Holder, type IndexKey, type Layout } from './layout.ts'
import { KNOWN_VERSIONS } from '../version.ts'

/** Most expired leases made due again in one transaction; the next takes the rest. */
const REVIVED_AT_ONCE = 1000

export function insert(layout: Layout, entry: Entry, body: Buffer): void {
  addBytes(layout, body.length)
  void layout.bodies.put(entry.id, body)
  makeDue(layout, entry)
}

/** Removes an entry that is in neither index any more. */
export function remove(layout: Layout, entry: Entry): void {
  addBytes(layout, -entry.sizeBytes)
  void layout.entries.remove(entry.id)
  void layout.bodies.remove(entry.id)
}

/** Stores `entry` and makes it due at its dueMs. */
export function makeDue(layout: Layout, entry: Entry): void {
  rewrite(layout, entry)
  void layout.due.put(indexKey(entry, entry.dueMs), 0)
}

export function rewrite(layout: Layout, entry: Entry): void {
  void layout.entries.put(entry.id, encodeEntry(entry))
}

export function stored(layout: Layout, id: string): Entry | undefined {
  return decodeEntry(layout.entries.get(id))
}

export function hold(layout: Layout, entry: Entry, holder: Holder): void {
  void layout.due.remove(indexKey(entry, entry.dueMs))
  void layout.holders.put(entry.id, holder)
  void layout.expiries.put(indexKey(entry, holder.expiresMs), entry.dueMs)
}

/** Ends a lease; whoever calls this puts the entry into an index again, or removes it. */
export function letGo(layout: Layout, entry: Entry, holder: Holder): void {
  void layout.holders.remove(entry.id)
  void layout.expiries.remove(indexKey(entry, holder.expiresMs))
}

/** No lease is longer (delivery.leaseMs): one that ends later was written by a clock that was ahead. */
const LONGEST_LEASE_MS = 600_000

/** Makes entries due again whose lease has expired by `nowMs`, or ends later than any lease can. */
export function revive(layout: Layout, nowMs: number): void {
  const expired = KNOWN_VERSIONS.flatMap((version) => [
    ...layout.expiries.getRange({ ...upTo(version, nowMs), limit: REVIVED_AT_ONCE }),
    ...layout.expiries.getRange({ ...impossible(version, nowMs), limit: REVIVED_AT_ONCE }),
  ])
  for (const { key, value: dueMs } of expired) {
    const [version, , id] = key
    void layout.expiries.remove(key)
    void layout.holders.remove(id)
    void layout.due.put([version, dueMs, id], 0)
  }
}

/** Whether a lease ends later than any can. */
export function anyImpossible(layout: Layout, nowMs: number): boolean {
  return KNOWN_VERSIONS.some(
    (version) => layout.expiries.getKeysCount({ ...impossible(version, nowMs), limit: 1 }) > 0,
  )
}

function impossible(version: number, nowMs: number): { start: IndexKey; end: IndexKey } {
  return { start: [version, nowMs + LONGEST_LEASE_MS + 1, ''], end: [version + 1, 0, ''] }
}

/** The entries to work on next: at most `max`, due by `nowMs`, the longest due first. */
export function longestDue(layout: Layout, nowMs: number, max: number): Entry[] {
  const found = KNOWN_VERSIONS.flatMap((version) => readable(layout, version, nowMs, max))
  return found.sort((a, b) => a.dueMs - b.dueMs).slice(0, max)
}

/** Walks past what cannot be read: it stays queued, and does not stand in the way. */
function readable(layout: Layout, version: number, nowMs: number, max: number): Entry[] {
  const found: Entry[] = []
  if (max <= 0) return found
  for (const [, , id] of layout.due.getKeys(upTo(version, nowMs))) {
    const entry = stored(layout, id)
    if (entry !== undefined) found.push(entry)
    if (found.length >= max) break
  }
  return found
}

/** Rows of a database, from the total that lmdb keeps. */
export function total(database: Pick<Database, 'getStats'>): number {
  return (database.getStats() as { entryCount: number }).entryCount
}

function addBytes({ meta }: Layout, bytes: number): void {
  void meta.put('bytes', (meta.get('bytes') ?? 0) + bytes)
}

function indexKey({ version, id }: Entry, timeMs: number): IndexKey {
  return [version, timeMs, id]
}
