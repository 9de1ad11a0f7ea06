// The contract of the queue, whatever keeps it: `embedded` (lmdb, one machine) or `aws` (SQS, S3, DynamoDB).
// Owns: what the SMTP side and the forwarder may rely on. Both engines are at-least-once: the only possible duplicate is
// a delivery in doubt, one whose holder vanished between the host's reply and the queue's record of it.
import type { Destination, Lease, NewEntry, QueueStats } from './entry.ts'

/** The queue takes no more: it is at a bound, or the disk is full. Nothing was stored, try later (SMTP 452). */
export class QueueFullError extends Error {
  override readonly name = 'QueueFullError'
}

/** The commit has not come within the time that the caller waits. */
export class SlowCommitError extends Error {
  override readonly name = 'SlowCommitError'

  /** @param withdrawn nothing will be stored; else it may still be */
  constructor(withinMs: number, withdrawn: boolean) {
    super(
      `no commit within ${withinMs / 1_000} s; ${withdrawn ? 'nothing was stored' : 'it may still be stored'}`,
    )
  }
}

/** `destinations`: where they stand now, stored with the rest; left as they are if not given. */
export type Settlement =
  { kind: 'remove' } | { kind: 'reschedule'; dueMs: number; destinations?: Destination[] }

/** A delivery status notification to queue along with an outcome. */
export type Dsn = { entry: NewEntry; body: Buffer }

/**
 * What may be wrong with this instance's own storage for a time. `spool-gone`: the open spool is no longer at its path;
 * `spool-full`, `spool-unwritable`: it could not be opened yet; `slow-commit`: a commit takes longer than senders wait.
 */
export const QUEUE_PROBLEMS = ['spool-gone', 'spool-full', 'spool-unwritable', 'slow-commit'] as const
export type QueueProblem = { reason: (typeof QUEUE_PROBLEMS)[number]; text: string }

export type Queue = {
  /**
   * Stores an envelope and its message; resolves with the entry's id only when both are on stable storage.
   * @throws {QueueFullError} at a bound. @throws {SlowCommitError} when it takes too long. @throws {Error} when the storage would not take it: nothing is queued, or, if
   * the storage's answer was lost, it may be.
   */
  enqueue: (entry: NewEntry, body: Buffer) => Promise<string>

  /**
   * Takes up to `max` entries that are due and held by nobody, about the longest due first, for `leaseMs`. Entries whose
   * lease has expired are due again. May take fewer than there are.
   */
  lease: (max: number, leaseMs: number) => Promise<Lease[]>

  /** The stored message. @throws {Error} if the entry is gone (the lease was lost) or the storage does not answer. */
  body: (held: Lease) => Buffer | Promise<Buffer>

  /**
   * Whether the lease still runs by this process's monotonic clock. Asks nothing of the storage: a lease that another
   * process has taken over may still run by this.
   */
  holds: (held: Lease) => boolean

  /** Holds on for `leaseMs` from now; the expiry times of `held` are updated. False: lost, nothing changed. */
  extend: (held: Lease, leaseMs: number) => Promise<boolean>

  /** Stores where the destinations stand, durable before it resolves. False: lost, nothing changed. */
  record: (held: Lease, destinations: Destination[]) => Promise<boolean>

  /**
   * Ends the lease: removes the entry, or makes it due at `dueMs` with one more attempt counted; with `dsn`, queues that
   * too, once and regardless of the bounds. False: lost, nothing changed, no DSN queued.
   */
  settle: (held: Lease, settlement: Settlement, dsn?: Dsn) => Promise<boolean>

  /** Ends the lease with the entry as it stands, due at once, no attempt counted. Nothing if it was lost. */
  release: (held: Lease) => Promise<void>

  /** What the whole queue holds, as any process sees it; at most {@link statsMs} old. */
  stats: () => QueueStats | Promise<QueueStats>

  /** How often `stats` is worth asking, in ms. */
  statsMs: number

  /** `lease` waits some seconds for work to come before it answers with nothing: there is no need to pause between. */
  waits: boolean

  /** Whether the canary with this id (an entry with `canary: true`) has left the queue. */
  settled: (id: string) => boolean | Promise<boolean>

  /** Why nothing can be stored any more until this process is restarted; undefined while all is well. */
  failure: () => Error | undefined

  /** Why this instance takes nothing new at present, or only slowly; null while all is well. */
  problem: () => QueueProblem | null

  /** Waits for what is being stored, then closes. Leases stay until they expire or are released before. */
  close: () => Promise<void>
}
