// Caps due times that only a wrong clock can have written, so that a clock set back delays no mail.
// Owns: the caps, applied in small transactions. Fails with CommitError.
import type { GroupCommit } from './durable.ts'
import type { Entry } from '../entry.ts'
import type { IndexKey, Layout } from './layout.ts'
import { makeDue, readEntry } from './rows.ts'
import { KNOWN_VERSIONS } from '../version.ts'

/** Rows read in one turn of the event loop and changed in one transaction. */
const ROWS_AT_ONCE = 200

export type DueTimes = {
  layout: Layout
  commits: Pick<GroupCommit, 'run'>
  now: () => number
  /** The longest wait that the retry schedule gives after so many attempts. */
  longestWaitMs: (attempts: number) => number
}

/**
 * Caps all due times that are too late.
 * @param backMs how far the clock was just set back; mail that was ready before is ready again
 */
export async function capDueTimes(times: DueTimes, backMs: number): Promise<void> {
  for (const version of KNOWN_VERSIONS) {
    let start: IndexKey = [version, times.now() + 1, '']
    for (let more = true; more;) {
      const rows = [...times.layout.due.getKeys({ start, end: [version + 1, 0, ''], limit: ROWS_AT_ONCE })]
      const late = rows.filter((row) => cappedAt(times, row, backMs) !== undefined)
      if (late.length > 0) await times.commits.run(() => late.forEach((row) => capOne(times, row, backMs)))
      else await new Promise(setImmediate)
      const last = rows.at(-1)
      more = rows.length === ROWS_AT_ONCE && last !== undefined
      if (last !== undefined) start = [last[0], last[1], `${last[2]}\0`]
    }
  }
}

function capOne(times: DueTimes, row: IndexKey, backMs: number): void {
  const { layout } = times
  const capped = layout.due.doesExist(row) ? cappedAt(times, row, backMs) : undefined
  if (capped === undefined) return
  void layout.due.remove(row)
  makeDue(layout, capped)
}

/** The entry with its capped due time; undefined if the due time is valid, or the entry cannot be read. */
function cappedAt(
  { layout, now, longestWaitMs }: DueTimes,
  row: IndexKey,
  backMs: number,
): Entry | undefined {
  const entry = readEntry(layout, row[2])
  if (entry === undefined) return undefined
  const dueMs = latestDue(entry, now(), { backMs, longestWaitMs })
  return dueMs < entry.dueMs ? { ...entry, dueMs } : undefined
}

/** The latest valid due time of the entry, when the clock reads `nowMs`. */
export function latestDue(
  { dueMs, acceptedMs, attempts }: Pick<Entry, 'dueMs' | 'acceptedMs' | 'attempts'>,
  nowMs: number,
  { backMs, longestWaitMs }: { backMs: number; longestWaitMs: (attempts: number) => number },
): number {
  if (dueMs <= nowMs + backMs) return Math.min(dueMs, nowMs)
  const waitMs = attempts === 0 ? Math.max(0, dueMs - acceptedMs) : longestWaitMs(attempts)
  return Math.min(dueMs, nowMs + waitMs)
}
