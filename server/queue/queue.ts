// The contract of the queue for both engines: `embedded` (lmdb, one machine) and `aws` (SQS, S3, DynamoDB).
// Owns: what the SMTP side and the forwarder may rely on. Both engines are at-least-once. A delivery can repeat only when
// its holder vanished between the host's reply and the queue's record of it.
import type { Destination, Lease, NewEntry, QueueStats } from './entry.ts'

/** The queue is at a limit, or the disk is full. Nothing was stored; the sender may retry (SMTP 452). */
export class QueueFullError extends Error {
  override readonly name = 'QueueFullError'
}

/** The commit did not finish within the time that the caller waits. */
export class SlowCommitError extends Error {
  override readonly name = 'SlowCommitError'

  /** @param withdrawn true: nothing will be stored. False: the message may still be stored. */
  constructor(withinMs: number, withdrawn: boolean) {
    super(
      `no commit within ${withinMs / 1_000} s; ${withdrawn ? 'nothing was stored' : 'it may still be stored'}`,
    )
  }
}

/** How a lease ends. `destinations` is their new state; without it they stay as they are. */
export type Settlement =
  { kind: 'remove' } | { kind: 'reschedule'; dueMs: number; destinations?: Destination[] }

/** A delivery status notification that the queue takes together with a settlement. */
export type Dsn = { entry: NewEntry; body: Buffer }

/**
 * A passing problem of this instance's own storage:
 * - `spool-gone`: the path no longer leads to the open spool.
 * - `spool-full`, `spool-unwritable`: the spool could not be opened yet.
 * - `slow-commit`: a commit takes longer than senders wait.
 */
export const QUEUE_PROBLEMS = ['spool-gone', 'spool-full', 'spool-unwritable', 'slow-commit'] as const
export type QueueProblem = { reason: (typeof QUEUE_PROBLEMS)[number]; text: string }

export type Queue = {
  /**
   * Stores an envelope and its message. Resolves with the entry's id once both are on stable storage.
   * @throws {QueueFullError} at a limit.
   * @throws {SlowCommitError} when the commit takes too long.
   * @throws {Error} when the storage fails. Nothing is queued then, unless only the storage's answer was lost.
   */
  enqueue: (entry: NewEntry, body: Buffer) => Promise<string>

  /**
   * Leases up to `max` due entries for `leaseMs`, roughly in the order of their due times. An entry with an expired
   * lease is due again. The result may hold fewer entries than are due.
   */
  lease: (max: number, leaseMs: number) => Promise<Lease[]>

  /**
   * The stored message. @throws {Error} if the lease was lost and the entry is gone, or if the storage does not answer.
   */
  body: (held: Lease) => Buffer | Promise<Buffer>

  /**
   * Whether the lease is still valid by this process's monotonic clock. Does not ask the storage, so another process
   * may hold the entry already.
   */
  holds: (held: Lease) => boolean

  /**
   * Extends the lease to `leaseMs` from now and updates the expiry times in `held`. False: the lease was lost and
   * nothing changed.
   */
  extend: (held: Lease, leaseMs: number) => Promise<boolean>

  /** Stores the state of the destinations; durable once it resolves. False: the lease was lost and nothing changed. */
  record: (held: Lease, destinations: Destination[]) => Promise<boolean>

  /**
   * Ends the lease. Removes the entry, or makes it due at `dueMs` and counts one attempt. Also queues `dsn`, exactly
   * once and regardless of the limits. False: the lease was lost, nothing changed, and no DSN was queued.
   */
  settle: (held: Lease, settlement: Settlement, dsn?: Dsn) => Promise<boolean>

  /**
   * Ends the lease and makes the unchanged entry due at once, without counting an attempt. Does nothing if the lease
   * was lost.
   */
  release: (held: Lease) => Promise<void>

  /** What the whole queue holds, equal for all processes; at most {@link statsMs} old. */
  stats: () => QueueStats | Promise<QueueStats>

  /** How often a caller should ask for `stats`, in ms. */
  statsMs: number

  /** True: `lease` waits some seconds for work before it returns nothing, so the caller needs no pause. */
  waits: boolean

  /** Whether the canary with this id (an entry with `canary: true`) has left the queue. */
  settled: (id: string) => boolean | Promise<boolean>

  /** Why the queue can store nothing until this process restarts; undefined while it can. */
  failure: () => Error | undefined

  /** Why this instance stores no new mail now, or only slowly; null while it does. */
  problem: () => QueueProblem | null

  /** Waits for the running writes, then closes. Leases stay until they expire. */
  close: () => Promise<void>
}
