// The embedded queue: one lmdb environment on this machine, shared by many processes. Owns: entries, bodies, leases and
// limits. Every change is one durable transaction. Throws QueueFullError at a limit or on a full disk, and CommitError
// when the disk fails. The processes must share a PID namespace and a clock.
import { randomBytes } from 'node:crypto'
import { createClockStepDetector } from '../../clock.ts'
import { countQueue } from './statistics.ts'
import { capDueTimes } from './due-times.ts'
import { CommitError, groupCommit, type CommitTimes, type GroupCommit } from './durable.ts'
import type { Destination, Entry, Lease, NewEntry, QueueStats } from '../entry.ts'
import { DISK_FULL, FULL_PAUSE_MS, isDiskFull } from './disk-full.ts'
import { checkLayout, openQueueFiles } from './open-files.ts'
import type { Holder, Layout } from './layout.ts'
import { assertTime, createEntry } from '../new-entry.ts'
import {
  addLease,
  insertEntry,
  removeLease,
  longestDue,
  makeDue,
  removeEntry,
  expireLeases,
  hasDue,
  hasEntry,
  updateEntry,
  readEntry,
  rowCount,
} from './rows.ts'
import {
  QueueFullError,
  SlowCommitError,
  type Dsn,
  type Settlement,
  type Queue,
  type QueueProblem,
} from '../queue.ts'
import { prepareSpool, watchDataFile } from './spool.ts'
import { flushFolder } from '../../../platform/atomic-file.ts'

export type EmbeddedQueueOptions = {
  path: string
  maxEntries: number
  /** Limit on the stored bytes of all bodies. */
  maxBytes: number
  /** Allows a queue that is lost at power-off: tmpfs, and `flush: false`. */
  volatile: boolean
  /** False: never flush to disk. Only the test that must fail without flushing sets it. Default true. */
  flush?: boolean
  /** The wall clock, ms since the epoch. Default Date.now. */
  now?: () => number
  /** The monotonic clock in ms. Default: `now` if given, else performance.now. */
  monotonic?: () => number
  /** Gets the duration of each transaction. */
  onCommit?: (times: CommitTimes) => void
  /** The longest wait that the retry schedule gives after so many attempts. Default: no limit. */
  longestWaitMs?: (attempts: number) => number
  /** Gets each error that happens in the background. */
  onError?: (where: string, error: unknown) => void
}

export type EmbeddedQueue = Awaited<ReturnType<typeof openEmbeddedQueue>>

/**
 * Opens the queue, creating it if needed.
 * @throws {InputError} if `path` cannot be used (see spool.ts) or holds a queue of another layout.
 */
export async function openEmbeddedQueue(options: EmbeddedQueueOptions) {
  const { path, maxEntries, maxBytes, volatile, flush = true, now = Date.now } = options
  const monotonic = options.monotonic ?? options.now ?? (() => performance.now())
  prepareSpool({ path, volatile, flush })
  const { environment, layout } = openQueueFiles(path, flush, { maxEntries, maxBytes })
  const commits = groupCommit(environment, monotonic, options.onCommit)
  await checkLayout(path, layout, commits)
  if (flush) flushFolder(path)
  const checkSpool = watchDataFile(path)
  const shared = { path, layout, commits, now, monotonic, maxEntries, maxBytes, checkSpool }
  const { longestWaitMs = () => Infinity, onError = () => {} } = options
  const times = { layout, commits, now, longestWaitMs }
  let capping = Promise.resolve()
  const capDue = (backMs: number) => {
    capping = capping
      .then(() => capDueTimes(times, backMs))
      .catch((error: unknown) => onError('due-times', error))
  }
  const stepped = createClockStepDetector(now, monotonic)
  const engine: EmbeddedEngine = {
    ...shared,
    stepped,
    capDue,
    fullUntilMs: -Infinity,
    expireAfterMs: -Infinity,
  }
  // The clock may have been set back while no process had the queue open.
  capDue(0)

  return {
    enqueue: (entry: NewEntry, body: Buffer) => enqueue(engine, entry, body),
    lease: (max: number, leaseMs: number) => lease(engine, max, leaseMs),
    /** Returns a copy. */
    body: (held: Lease) => body(engine, held),
    holds: (held: Lease) => held.monotonicExpiresMs > monotonic(),
    extend: (held: Lease, leaseMs: number) => extend(engine, held, leaseMs),
    record: (held: Lease, destinations: Destination[]) => record(engine, held, destinations),
    /** Stores the settlement and its DSN in one transaction. */
    settle: (held: Lease, settlement: Settlement, dsn?: Dsn) => settle(engine, held, settlement, dsn),
    release: (held: Lease) => release(engine, held),
    /** Every process gets the same counts. Takes milliseconds even with 100,000 entries. */
    stats: (): QueueStats => countQueue(layout, now()),
    statsMs: STATS_MS,
    waits: false,
    settled: (id: string) => !hasEntry(layout, id),
    failure: () => commits.failure(),
    problem: () => problemOf(engine),
    close: async (): Promise<void> => {
      await capping
      await commits.idle()
      await environment.close()
    },
  } satisfies Queue
}

/** At 2,000 messages/s, 500 messages can arrive within this time. */
const STATS_MS = 250

type EmbeddedEngine = {
  path: string
  layout: Layout
  commits: GroupCommit
  now: () => number
  monotonic: () => number
  maxEntries: number
  maxBytes: number
  /** Throws when the path no longer leads to the open data file. */
  checkSpool: () => void
  /** How far the wall clock was stepped since the last call. */
  stepped: () => number
  /** Caps invalid due times, in the background. */
  capDue: (backMs: number) => void
  /**
   * No lease of another process expires before this time of the monotonic clock: its holder may have to extend it
   * first.
   */
  expireAfterMs: number
  /** No enqueue is tried before this time of the monotonic clock, because the disk was full just now. */
  fullUntilMs: number
}

/** How long a sender waits for the commit of its message before the server replies 4xx. */
const COMMIT_MS = 5_000

function problemOf({ checkSpool, commits }: EmbeddedEngine): QueueProblem | null {
  try {
    checkSpool()
  } catch (error) {
    return { reason: 'spool-gone', text: (error as Error).message }
  }
  const underWayMs = commits.underWayMs()
  if (underWayMs <= COMMIT_MS) return null
  return {
    reason: 'slow-commit',
    text: `a commit has been under way for ${Math.round(underWayMs / 1_000)} s`,
  }
}

/** Runs `operation` in a durable transaction. Throws QueueFullError when the disk is full. */
async function commit<T>(
  { path, commits }: EmbeddedEngine,
  operation: () => T,
  withinMs?: number,
): Promise<T> {
  try {
    return await commits.run(operation, withinMs)
  } catch (error) {
    if (!(error instanceof CommitError) || !isDiskFull(path, error)) throw error
    throw new QueueFullError(DISK_FULL, { cause: error })
  }
}

async function enqueue(engine: EmbeddedEngine, entry: NewEntry, body: Buffer): Promise<string> {
  const { layout, now, monotonic } = engine
  if (monotonic() < engine.fullUntilMs) throw new QueueFullError(DISK_FULL)
  if (engine.commits.underWayMs() > COMMIT_MS) throw new SlowCommitError(COMMIT_MS, true)
  const made = createEntry(entry, body, now())
  // Checked before, to store nothing in vain, and after, to acknowledge no message whose spool is gone.
  engine.checkSpool()
  try {
    const stored = () => {
      assertRoom(engine, body.length)
      insertEntry(layout, made, body)
    }
    await commit(engine, stored, COMMIT_MS)
    engine.checkSpool()
    return made.id
  } catch (error) {
    if (error instanceof QueueFullError && error.cause !== undefined)
      engine.fullUntilMs = monotonic() + FULL_PAUSE_MS
    throw error
  }
}

function assertRoom({ layout, maxEntries, maxBytes }: EmbeddedEngine, bodyBytes: number): void {
  const entries = rowCount(layout.entries)
  if (entries >= maxEntries)
    throw new QueueFullError(`the queue holds ${entries} entries, its bound is ${maxEntries}`)
  const bytes = (layout.meta.get('bytes') ?? 0) + bodyBytes
  if (bytes > maxBytes)
    throw new QueueFullError(`the queue would hold ${bytes} bytes, its bound is ${maxBytes}`)
}

async function lease(engine: EmbeddedEngine, max: number, leaseMs: number): Promise<Lease[]> {
  const { layout } = engine
  noteClockStep(engine, leaseMs)
  // The check needs no transaction, and most checks find nothing.
  if (!hasDue(layout, engine.now())) return []
  return commit(engine, () => {
    const monotonicExpiresMs = engine.monotonic() + leaseMs
    noteClockStep(engine, leaseMs)
    const nowMs = engine.now()
    if (engine.monotonic() >= engine.expireAfterMs) expireLeases(layout, nowMs)
    return longestDue(layout, nowMs, max).map((entry) => {
      const holder = { token: randomBytes(12).toString('base64url'), expiresMs: nowMs + leaseMs }
      addLease(layout, entry, holder)
      return { entry, ...holder, monotonicExpiresMs }
    })
  })
}

/** After a step of the clock no lease expires for one lease time. By then every live holder has extended its lease. */
function noteClockStep(engine: EmbeddedEngine, leaseMs: number): void {
  const stepMs = engine.stepped()
  if (stepMs === 0) return
  engine.expireAfterMs = engine.monotonic() + leaseMs
  if (stepMs < 0) engine.capDue(-stepMs)
}

function body({ layout }: EmbeddedEngine, held: Lease): Buffer {
  layout.meta.resetReadTxn()
  const found = layout.bodies.get(held.entry.id)
  if (found === undefined) throw new Error(`entry ${held.entry.id} is gone: its lease was lost`)
  return Buffer.from(found.buffer, found.byteOffset, found.byteLength)
}

async function extend(engine: EmbeddedEngine, held: Lease, leaseMs: number): Promise<boolean> {
  const monotonicExpiresMs = engine.monotonic() + leaseMs
  const expiresMs = engine.now() + leaseMs
  const done = await whileHeld(engine, held, (entry, holder) => {
    removeLease(engine.layout, entry, holder)
    addLease(engine.layout, entry, { token: holder.token, expiresMs })
  })
  if (done) Object.assign(held, { expiresMs, monotonicExpiresMs })
  return done
}

async function record(engine: EmbeddedEngine, held: Lease, destinations: Destination[]): Promise<boolean> {
  return whileHeld(engine, held, (entry) => updateEntry(engine.layout, { ...entry, destinations }))
}

async function settle(
  engine: EmbeddedEngine,
  held: Lease,
  settlement: Settlement,
  dsn?: Dsn,
): Promise<boolean> {
  const notice = dsn === undefined ? undefined : createEntry(dsn.entry, dsn.body, engine.now())
  if (settlement.kind === 'reschedule') assertTime(settlement.dueMs)
  return whileHeld(engine, held, (entry, holder) => {
    removeLease(engine.layout, entry, holder)
    if (settlement.kind === 'remove') removeEntry(engine.layout, entry)
    else {
      const { dueMs, destinations = entry.destinations } = settlement
      makeDue(engine.layout, { ...entry, dueMs, destinations, attempts: entry.attempts + 1 })
    }
    if (dsn !== undefined && notice !== undefined) insertEntry(engine.layout, notice, dsn.body)
  })
}

async function release(engine: EmbeddedEngine, held: Lease): Promise<void> {
  await whileHeld(engine, held, (entry, holder) => {
    removeLease(engine.layout, entry, holder)
    makeDue(engine.layout, entry)
  })
}

/** Runs `change` on the stored entry in a transaction, if `held` is still valid then. */
async function whileHeld(
  engine: EmbeddedEngine,
  held: Lease,
  change: (entry: Entry, holder: Holder) => void,
): Promise<boolean> {
  const { layout, monotonic } = engine
  return commit(engine, () => {
    // The wall clock may have been set. What counts is the monotonic time and that no other process has taken the entry.
    if (held.monotonicExpiresMs <= monotonic()) return false
    const holder = layout.holders.get(held.entry.id)
    if (holder === undefined || holder.token !== held.token) return false
    const entry = readEntry(layout, held.entry.id)
    if (entry === undefined) return false
    change(entry, holder)
    return true
  })
}
