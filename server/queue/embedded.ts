// The embedded queue: one lmdb environment on this machine, shared by many processes. Owns: entries, their bodies, who
// holds which entry until when, and the bounds. Every change is one transaction, durable before its promise resolves
// (durable.ts). At least once: a lease that expires makes its entry due again, and its holder can change nothing more.
// Fails with QueueFullError at a bound or on a full disk, with CommitError if the disk would not take the change.
// The processes must share a PID namespace and a clock.
import { randomBytes } from 'node:crypto'
import { InputError } from '../../input/problems.ts'
import { countQueue } from './count.ts'
import { CommitError, groupCommit, openEnvironment, type GroupCommit } from './durable.ts'
import type { Destination, Entry, Lease, NewEntry, QueueStats } from './entry.ts'
import { DISK_FULL, FULL_PAUSE_MS, isFull, QueueFullError } from './full.ts'
import { KNOWN_VERSIONS, LAYOUT_VERSION, openLayout, upTo, type Holder, type Layout } from './layout.ts'
import { inNewestSync } from './newest.ts'
import {
  assertTime,
  hold,
  insert,
  letGo,
  longestDue,
  makeDue,
  newEntry,
  remove,
  revive,
  rewrite,
  stored,
  total,
} from './rows.ts'
import { prepareSpool, syncDirectory } from './spool.ts'

/**
 * Address space for the map: bodies a little over a page take two (the worst case, factor 2), an entry with its index
 * rows a page or two, and 64 MiB for what lmdb keeps for readers of older states. At most 1 TiB of the 128 TiB that
 * a process has; beyond that lmdb-js moves the map as the file grows.
 */
const mapBytesFor = (maxEntries: number, maxBytes: number) =>
  Math.min(2 * maxBytes + maxEntries * 8192 + 64 * 1024 ** 2, 1024 ** 4)

export { QueueFullError }

export type QueueOptions = {
  /** Directory of the queue; created if missing. */
  path: string
  maxEntries: number
  /** Bound on the stored bytes of all bodies. */
  maxBytes: number
  /** The queue may be lost at power-off: allows tmpfs, and `flush: false`. */
  volatile: boolean
  /** false: never flush to disk. Only for the test that must fail without flushing. Default true. */
  flush?: boolean
  /** The clock, ms since the epoch. Default Date.now. */
  now?: () => number
}

/** `destinations`: where they stand now, stored with the rest; left as they are if not given. */
export type Outcome = { kind: 'remove' } | { kind: 'reschedule'; dueMs: number; destinations?: Destination[] }

/** A delivery status notification to queue along with an outcome. */
export type Dsn = { entry: NewEntry; body: Buffer }

export type EmbeddedQueue = Awaited<ReturnType<typeof openQueue>>

/**
 * Opens the queue, creating it if needed.
 * @throws {InputError} if `path` cannot be used (see spool.ts) or holds a queue of another layout.
 */
export async function openQueue(options: QueueOptions) {
  const { path, maxEntries, maxBytes, volatile, flush = true, now = Date.now } = options
  prepareSpool({ path, volatile, flush })
  const { environment, layout } = openFiles(path, flush, mapBytesFor(maxEntries, maxBytes))
  const commits = groupCommit(environment, now)
  await checkLayout(path, layout, commits)
  if (flush) syncDirectory(path)
  const queue: Queue = { path, layout, commits, now, maxEntries, maxBytes, fullUntilMs: 0 }

  return {
    /**
     * Stores an envelope and its message; resolves with the entry's id only when both are on stable storage.
     * @throws {QueueFullError} at a bound or on a full disk. @throws {CommitError} on any other disk error.
     */
    enqueue: (entry: NewEntry, body: Buffer) => enqueue(queue, entry, body),

    /**
     * Takes up to `max` entries that are due and held by nobody, the longest due first, for `leaseMs`. Entries whose
     * lease has expired are due again before anything is taken.
     */
    lease: (max: number, leaseMs: number) => lease(queue, max, leaseMs),

    /** The stored message, a copy. @throws {Error} if the entry is gone (the lease was lost). */
    body: (held: Lease) => body(queue, held),

    /** Holds on for `leaseMs` from now; `held.expiresMs` is updated. False: lost, nothing changed. */
    extend: (held: Lease, leaseMs: number) => extend(queue, held, leaseMs),

    /** Stores where the destinations stand, durable before it resolves. False: lost, nothing changed. */
    record: (held: Lease, destinations: Destination[]) => record(queue, held, destinations),

    /**
     * Ends the lease: removes the entry, or makes it due at `dueMs` with one more attempt counted; with `dsn`, queues
     * that too, in the same transaction and regardless of the bounds. False: lost, nothing changed, no DSN queued.
     */
    settle: (held: Lease, outcome: Outcome, dsn?: Dsn) => settle(queue, held, outcome, dsn),

    /** Ends the lease with the entry as it stands, due at once, no attempt counted. Nothing if it was lost. */
    release: (held: Lease) => release(queue, held),

    /** What the whole queue holds, equal from every process. Milliseconds even with 100,000 entries. */
    stats: (): QueueStats => countQueue(layout, now()),

    /** Why nothing can be stored any more until this process is restarted; undefined while all is well. */
    failure: () => commits.failure(),

    /** Waits for what is being stored, then closes. Leases stay until they expire or are released before. */
    close: async (): Promise<void> => {
      await commits.idle()
      await environment.close()
    },
  }
}

type Queue = {
  path: string
  layout: Layout
  commits: GroupCommit
  now: () => number
  maxEntries: number
  maxBytes: number
  /** No enqueue is tried before this time: the disk was full a moment ago. */
  fullUntilMs: number
}

function openFiles(path: string, flush: boolean, mapBytes: number) {
  try {
    const environment = openEnvironment(path, flush, mapBytes)
    return { environment, layout: inNewestSync(environment, () => openLayout(environment)) }
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause)
    throw new InputError(path, [{ key: 'path', found, expected: 'a queue that can be opened' }], { cause })
  }
}

async function checkLayout(path: string, { meta }: Layout, commits: GroupCommit): Promise<void> {
  const found =
    meta.get('layout') ??
    (await commits.run(() => {
      const existing = meta.get('layout')
      if (existing === undefined) void meta.put('layout', LAYOUT_VERSION)
      return existing ?? LAYOUT_VERSION
    }))
  if (found === LAYOUT_VERSION) return
  throw new InputError(path, [
    { key: '', found: `layout ${found}`, expected: `a queue of layout ${LAYOUT_VERSION}` },
  ])
}

/** Runs `operation` in a durable transaction; a disk without room is a full queue to whoever asked. */
async function commit<T>({ path, commits }: Queue, operation: () => T): Promise<T> {
  try {
    return await commits.run(operation)
  } catch (error) {
    if (!(error instanceof CommitError) || !isFull(path, error)) throw error
    throw new QueueFullError(DISK_FULL, { cause: error })
  }
}

async function enqueue(queue: Queue, entry: NewEntry, body: Buffer): Promise<string> {
  const { layout, now } = queue
  if (now() < queue.fullUntilMs) throw new QueueFullError(DISK_FULL)
  const made = newEntry(entry, body, now())
  try {
    return await commit(queue, () => {
      assertRoom(queue, body.length)
      insert(layout, made, body)
      return made.id
    })
  } catch (error) {
    if (error instanceof QueueFullError && error.cause !== undefined)
      queue.fullUntilMs = now() + FULL_PAUSE_MS
    throw error
  }
}

function assertRoom({ layout, maxEntries, maxBytes }: Queue, bodyBytes: number): void {
  const entries = total(layout.entries)
  if (entries >= maxEntries)
    throw new QueueFullError(`the queue holds ${entries} entries, its bound is ${maxEntries}`)
  const bytes = (layout.meta.get('bytes') ?? 0) + bodyBytes
  if (bytes > maxBytes)
    throw new QueueFullError(`the queue would hold ${bytes} bytes, its bound is ${maxBytes}`)
}

async function lease(queue: Queue, max: number, leaseMs: number): Promise<Lease[]> {
  const { layout } = queue
  // Looking costs no transaction, and most looks find nothing.
  if (!anythingDue(layout, queue.now())) return []
  return commit(queue, () => {
    const nowMs = queue.now()
    revive(layout, nowMs)
    return longestDue(layout, nowMs, max).map((entry) => {
      const holder = { token: randomBytes(12).toString('base64url'), expiresMs: nowMs + leaseMs }
      hold(layout, entry, holder)
      return { entry, ...holder }
    })
  })
}

function anythingDue(layout: Layout, nowMs: number): boolean {
  layout.meta.resetReadTxn()
  return KNOWN_VERSIONS.some((version) =>
    [layout.due, layout.expiries].some((index) => {
      const [first] = index.getKeys({ ...upTo(version, nowMs), limit: 1 })
      return first !== undefined
    }),
  )
}

function body({ layout }: Queue, held: Lease): Buffer {
  layout.meta.resetReadTxn()
  const found = layout.bodies.get(held.entry.id)
  if (found === undefined) throw new Error(`entry ${held.entry.id} is gone: its lease was lost`)
  return Buffer.from(found.buffer, found.byteOffset, found.byteLength)
}

async function extend(queue: Queue, held: Lease, leaseMs: number): Promise<boolean> {
  const expiresMs = queue.now() + leaseMs
  const done = await whileHeld(queue, held, (entry, holder) => {
    letGo(queue.layout, entry, holder)
    hold(queue.layout, entry, { token: holder.token, expiresMs })
  })
  if (done) held.expiresMs = expiresMs
  return done
}

async function record(queue: Queue, held: Lease, destinations: Destination[]): Promise<boolean> {
  return whileHeld(queue, held, (entry) => rewrite(queue.layout, { ...entry, destinations }))
}

async function settle(queue: Queue, held: Lease, outcome: Outcome, dsn?: Dsn): Promise<boolean> {
  const notice = dsn === undefined ? undefined : newEntry(dsn.entry, dsn.body, queue.now())
  if (outcome.kind === 'reschedule') assertTime(outcome.dueMs)
  return whileHeld(queue, held, (entry, holder) => {
    letGo(queue.layout, entry, holder)
    if (outcome.kind === 'remove') remove(queue.layout, entry)
    else {
      const { dueMs, destinations = entry.destinations } = outcome
      makeDue(queue.layout, { ...entry, dueMs, destinations, attempts: entry.attempts + 1 })
    }
    if (dsn !== undefined && notice !== undefined) insert(queue.layout, notice, dsn.body)
  })
}

async function release(queue: Queue, held: Lease): Promise<void> {
  await whileHeld(queue, held, (entry, holder) => {
    letGo(queue.layout, entry, holder)
    makeDue(queue.layout, entry)
  })
}

/** Runs `change` on the entry as it is stored, in a transaction, if `held` is still ours by then. */
async function whileHeld(
  queue: Queue,
  held: Lease,
  change: (entry: Entry, holder: Holder) => void,
): Promise<boolean> {
  const { layout, now } = queue
  return commit(queue, () => {
    const holder = layout.holders.get(held.entry.id)
    if (holder === undefined || holder.token !== held.token || holder.expiresMs <= now()) return false
    const entry = stored(layout, held.entry.id)
    if (entry === undefined) return false
    change(entry, holder)
    return true
  })
}
