// The embedded queue: one lmdb environment on this machine, shared by many processes. Owns: entries, their bodies, who
// holds which entry until when, and the bounds. Every change is one transaction, durable before its promise resolves
// (durable.ts). A lease that expires makes its entry due again, and its holder can change nothing more.
// Fails with QueueFullError at a bound or on a full disk, with CommitError if the disk would not take the change.
// The processes must share a PID namespace and a clock.
import { randomBytes } from 'node:crypto'
import { InputError } from '../../input/problems.ts'
import { countQueue } from './count.ts'
import { CommitError, groupCommit, openEnvironment, type GroupCommit } from './durable.ts'
import type { Destination, Entry, Lease, NewEntry, QueueStats } from './entry.ts'
import { DISK_FULL, FULL_PAUSE_MS, isFull } from './full.ts'
import { LAYOUT_VERSION, openLayout, upTo, type Holder, type Layout } from './layout.ts'
import { assertTime, newEntry } from './new-entry.ts'
import { inNewestSync } from './newest.ts'
import { hold, insert, letGo, longestDue, makeDue, remove, revive, rewrite, stored, total } from './rows.ts'
import { QueueFullError, type Dsn, type Outcome, type Queue } from './queue.ts'
import { prepareSpool, syncDirectory } from './spool.ts'
import { KNOWN_VERSIONS } from './version.ts'

/**
 * Address space for the map: bodies a little over a page take two (the worst case, factor 2), an entry with its index
 * rows a page or two, and 64 MiB for what lmdb keeps for readers of older states. At most 1 TiB of the 128 TiB that
 * a process has; beyond that lmdb-js moves the map as the file grows.
 */
const mapBytesFor = (maxEntries: number, maxBytes: number) =>
  Math.min(2 * maxBytes + maxEntries * 8192 + 64 * 1024 ** 2, 1024 ** 4)

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
  /** The wall clock, ms since the epoch. Default Date.now. */
  now?: () => number
  /** The monotonic clock in ms. Default: `now` if that is given, else performance.now. */
  monotonic?: () => number
}

export type EmbeddedQueue = Awaited<ReturnType<typeof openQueue>>

/**
 * Opens the queue, creating it if needed.
 * @throws {InputError} if `path` cannot be used (see spool.ts) or holds a queue of another layout.
 */
export async function openQueue(options: QueueOptions) {
  const { path, maxEntries, maxBytes, volatile, flush = true, now = Date.now } = options
  const monotonic = options.monotonic ?? options.now ?? (() => performance.now())
  prepareSpool({ path, volatile, flush })
  const { environment, layout } = openFiles(path, flush, mapBytesFor(maxEntries, maxBytes))
  const commits = groupCommit(environment, monotonic)
  await checkLayout(path, layout, commits)
  if (flush) syncDirectory(path)
  const engine: Engine = { path, layout, commits, now, monotonic, maxEntries, maxBytes, fullUntilMs: 0 }

  return {
    enqueue: (entry: NewEntry, body: Buffer) => enqueue(engine, entry, body),
    lease: (max: number, leaseMs: number) => lease(engine, max, leaseMs),
    /** A copy. */
    body: (held: Lease) => body(engine, held),
    holds: (held: Lease) => held.monotonicExpiresMs > monotonic(),
    extend: (held: Lease, leaseMs: number) => extend(engine, held, leaseMs),
    record: (held: Lease, destinations: Destination[]) => record(engine, held, destinations),
    /** The outcome and its DSN are one transaction. */
    settle: (held: Lease, outcome: Outcome, dsn?: Dsn) => settle(engine, held, outcome, dsn),
    release: (held: Lease) => release(engine, held),
    /** Equal from every process. Milliseconds even with 100,000 entries. */
    stats: (): QueueStats => countQueue(layout, now()),
    statsMs: STATS_MS,
    waits: false,
    settled: (id: string) => !isStored(engine, id),
    failure: () => commits.failure(),
    close: async (): Promise<void> => {
      await commits.idle()
      await environment.close()
    },
  } satisfies Queue
}

/** At 2,000 messages/s, 500 of them can come in on one snapshot. */
const STATS_MS = 250

type Engine = {
  path: string
  layout: Layout
  commits: GroupCommit
  now: () => number
  monotonic: () => number
  maxEntries: number
  maxBytes: number
  /** No enqueue is tried before this time of the monotonic clock: the disk was full a moment ago. */
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
async function commit<T>({ path, commits }: Engine, operation: () => T): Promise<T> {
  try {
    return await commits.run(operation)
  } catch (error) {
    if (!(error instanceof CommitError) || !isFull(path, error)) throw error
    throw new QueueFullError(DISK_FULL, { cause: error })
  }
}

async function enqueue(engine: Engine, entry: NewEntry, body: Buffer): Promise<string> {
  const { layout, now, monotonic } = engine
  if (monotonic() < engine.fullUntilMs) throw new QueueFullError(DISK_FULL)
  const made = newEntry(entry, body, now())
  try {
    return await commit(engine, () => {
      assertRoom(engine, body.length)
      insert(layout, made, body)
      return made.id
    })
  } catch (error) {
    if (error instanceof QueueFullError && error.cause !== undefined)
      engine.fullUntilMs = monotonic() + FULL_PAUSE_MS
    throw error
  }
}

function assertRoom({ layout, maxEntries, maxBytes }: Engine, bodyBytes: number): void {
  const entries = total(layout.entries)
  if (entries >= maxEntries)
    throw new QueueFullError(`the queue holds ${entries} entries, its bound is ${maxEntries}`)
  const bytes = (layout.meta.get('bytes') ?? 0) + bodyBytes
  if (bytes > maxBytes)
    throw new QueueFullError(`the queue would hold ${bytes} bytes, its bound is ${maxBytes}`)
}

async function lease(engine: Engine, max: number, leaseMs: number): Promise<Lease[]> {
  const { layout } = engine
  // Looking costs no transaction, and most looks find nothing.
  if (!anythingDue(layout, engine.now())) return []
  return commit(engine, () => {
    const monotonicExpiresMs = engine.monotonic() + leaseMs
    const nowMs = engine.now()
    revive(layout, nowMs)
    return longestDue(layout, nowMs, max).map((entry) => {
      const holder = { token: randomBytes(12).toString('base64url'), expiresMs: nowMs + leaseMs }
      hold(layout, entry, holder)
      return { entry, ...holder, monotonicExpiresMs }
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

function body({ layout }: Engine, held: Lease): Buffer {
  layout.meta.resetReadTxn()
  const found = layout.bodies.get(held.entry.id)
  if (found === undefined) throw new Error(`entry ${held.entry.id} is gone: its lease was lost`)
  return Buffer.from(found.buffer, found.byteOffset, found.byteLength)
}

function isStored({ layout }: Engine, id: string): boolean {
  layout.meta.resetReadTxn()
  return layout.entries.doesExist(id)
}

async function extend(engine: Engine, held: Lease, leaseMs: number): Promise<boolean> {
  const monotonicExpiresMs = engine.monotonic() + leaseMs
  const expiresMs = engine.now() + leaseMs
  const done = await whileHeld(engine, held, (entry, holder) => {
    letGo(engine.layout, entry, holder)
    hold(engine.layout, entry, { token: holder.token, expiresMs })
  })
  if (done) Object.assign(held, { expiresMs, monotonicExpiresMs })
  return done
}

async function record(engine: Engine, held: Lease, destinations: Destination[]): Promise<boolean> {
  return whileHeld(engine, held, (entry) => rewrite(engine.layout, { ...entry, destinations }))
}

async function settle(engine: Engine, held: Lease, outcome: Outcome, dsn?: Dsn): Promise<boolean> {
  const notice = dsn === undefined ? undefined : newEntry(dsn.entry, dsn.body, engine.now())
  if (outcome.kind === 'reschedule') assertTime(outcome.dueMs)
  return whileHeld(engine, held, (entry, holder) => {
    letGo(engine.layout, entry, holder)
    if (outcome.kind === 'remove') remove(engine.layout, entry)
    else {
      const { dueMs, destinations = entry.destinations } = outcome
      makeDue(engine.layout, { ...entry, dueMs, destinations, attempts: entry.attempts + 1 })
    }
    if (dsn !== undefined && notice !== undefined) insert(engine.layout, notice, dsn.body)
  })
}

async function release(engine: Engine, held: Lease): Promise<void> {
  await whileHeld(engine, held, (entry, holder) => {
    letGo(engine.layout, entry, holder)
    makeDue(engine.layout, entry)
  })
}

/** Runs `change` on the entry as it is stored, in a transaction, if `held` is still ours by then. */
async function whileHeld(
  engine: Engine,
  held: Lease,
  change: (entry: Entry, holder: Holder) => void,
): Promise<boolean> {
  const { layout, monotonic } = engine
  return commit(engine, () => {
    // The wall clock may have been set: that nobody else has taken the entry is what counts, and the time that passed.
    if (held.monotonicExpiresMs <= monotonic()) return false
    const holder = layout.holders.get(held.entry.id)
    if (holder === undefined || holder.token !== held.token) return false
    const entry = stored(layout, held.entry.id)
    if (entry === undefined) return false
    change(entry, holder)
    return true
  })
}
