// The databases of the embedded queue in lmdb, their keys and values. Owns: the stored form of an entry (JSON, so that
// another release can read it) and the versions that this release may touch. The keys of both indexes begin with the
// entry's version, so a release never reads entries that it does not know.
import type { Database, RootDatabase } from 'lmdb'
import type { Entry } from '../entry.ts'
import { KNOWN_VERSIONS } from '../version.ts'

/** Version of this layout. A release that finds another one must not open the queue. */
export const LAYOUT_VERSION = 1

/** Key of an index row: entry version, time (ms since the epoch), entry id. */
export type IndexKey = [version: number, timeMs: number, id: string]

/** The lease of an entry: the holder's token, and when it expires (ms since the epoch). */
export type Holder = { token: string; expiresMs: number }

export type Layout = {
  /** 'layout' → LAYOUT_VERSION; 'bytes' → stored bytes of all bodies. */
  meta: Database<number, string>
  /** id → the entry as JSON. */
  entries: Database<string, string>
  /** id → the message. */
  bodies: Database<Buffer, string>
  /** Entries without a lease, by due time. The values are unused. */
  due: Database<number, IndexKey>
  /** id → its holder. */
  holders: Database<Holder, string>
  /** Leased entries by expiry of the lease; the value is the entry's dueMs. */
  expiries: Database<number, IndexKey>
}

export function openLayout(environment: RootDatabase): Layout {
  return {
    meta: environment.openDB<number, string>({ name: 'meta', encoding: 'json' }),
    entries: environment.openDB<string, string>({ name: 'entries', encoding: 'string' }),
    bodies: environment.openDB<Buffer, string>({ name: 'bodies', encoding: 'binary' }),
    due: environment.openDB<number, IndexKey>({ name: 'due', encoding: 'json' }),
    holders: environment.openDB<Holder, string>({ name: 'holders', encoding: 'json' }),
    expiries: environment.openDB<number, IndexKey>({ name: 'expiries', encoding: 'json' }),
  }
}

/** Index rows of `version` with a time of at most `nowMs`. */
export function rangeUpTo(version: number, nowMs: number): { start: IndexKey; end: IndexKey } {
  return { start: [version, 0, ''], end: [version, nowMs, '\uffff'] }
}

/** Unknown entry versions in an index, ascending. Skips from version to version, whatever the number of rows. */
export function unknownVersions(index: Database<number, IndexKey>): number[] {
  const found: number[] = []
  for (let version = -1; ;) {
    const [next] = index.getKeys({ start: [version + 1, 0, ''], limit: 1 })
    if (next === undefined) return found
    version = next[0]
    if (!KNOWN_VERSIONS.includes(version)) found.push(version)
  }
}

export function encodeEntry(entry: Entry): string {
  return JSON.stringify(entry)
}

/** The stored entry; undefined if it is missing, damaged or of an unknown version. */
export function decodeEntry(stored: string | undefined): Entry | undefined {
  if (stored === undefined) return undefined
  try {
    const entry = JSON.parse(stored) as Entry
    return KNOWN_VERSIONS.includes(entry.version) ? entry : undefined
  } catch {
    return undefined
  }
}
