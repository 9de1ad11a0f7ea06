// Makes a new entry for either engine. Owns: its id and its version. Throws on an invalid due time.
import { randomBytes } from 'node:crypto'
import type { Entry, NewEntry } from './entry.ts'
import { ENTRY_VERSION } from './version.ts'

/** Digits of an id's time: 36^9 ms since the epoch reach past the year 5000. */
const ID_TIME_DIGITS = 9

/** Random bytes of an id: 80 bits, so that two ids of the same millisecond differ. */
const ID_RANDOM_BYTES = 10

/** Makes the entry. Its id sorts by time and is unique across processes and restarts. */
export function createEntry(entry: NewEntry, body: Buffer, nowMs: number): Entry {
  assertTime(entry.dueMs)
  const time = Math.floor(nowMs).toString(36).padStart(ID_TIME_DIGITS, '0')
  const id = `${time}${randomBytes(ID_RANDOM_BYTES).toString('hex')}`
  return { ...entry, sizeBytes: body.length, version: ENTRY_VERSION, id, attempts: 0 }
}

/** An invalid time would give an index key that no lease finds. */
export function assertTime(timeMs: number): void {
  if (!Number.isFinite(timeMs) || timeMs < 0)
    throw new RangeError(`not a time in ms since the epoch: ${timeMs}`)
}
