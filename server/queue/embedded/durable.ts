// The one place that decides when something counts as stored. Owns: how the lmdb environment is opened (flags), and
// the group commit: operations that arrive while a commit is on its way share the next one, and a caller hears of its
// result only after that commit's fdatasync has returned. Fails by rejecting: when a commit fails (disk full, I/O
// error) every operation in it rejects and none of it is stored. After an error that leaves lmdb unable to write
// (its root page could not be written) every later operation rejects as well, until the process is restarted.
import { open, type RootDatabase } from 'lmdb'
import { writeFromNewestState } from './newest-state.ts'
import { SlowCommitError } from '../queue.ts'

/** Most operations in one commit: bounds how long one process may hold the lock that all processes write under. */
const BATCH_OPERATIONS = 500

/** Slots for reading processes in the lock file: a process uses one or two, lmdb's default of 126 allows about 60. */
const MAX_READERS = 252

/** Names of the databases inside the environment that lmdb must make room for. */
const MAX_DATABASES = 12

/** How often a writer looks for reader slots left by killed processes; one of those keeps freed pages from reuse. */
const READER_CHECK_MS = 10_000

/** The commit failed: nothing of the operation is stored. `cause` is lmdb's error. */
export class CommitError extends Error {
  override readonly name = 'CommitError'
  /** The system's error number (28 = ENOSPC), or lmdb's own, which are negative; 0 if there is none. */
  readonly errno: number

  constructor(cause: unknown) {
    super(`commit failed, nothing stored: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
    this.errno = Number((cause as { code?: unknown } | undefined)?.code ?? 0) || 0
  }
}

/** How long one transaction took, and how much of that it waited for the lock that all processes write under. */
export type CommitTimes = { tookMs: number; lockWaitMs: number }

/**
 * Opens (creates) the environment in the directory `path`.
 *
 * overlappingSync is off: with it lmdb-js reports a transaction as done when it is visible, before it is flushed.
 * Off, mdb_txn_commit itself returns only after fdatasync of the data and an O_DSYNC write of the root page.
 * `flush: false` (noSync) skips both; a power cut then loses or corrupts the queue.
 * The map is address space, not memory or disk. lmdb-js grows it by itself when it is too small.
 */
export function openEnvironment(path: string, flush: boolean, mapBytes: number): RootDatabase {
  return open({
    path,
    noSubdir: false,
    overlappingSync: false,
    noSync: !flush,
    // One transaction at a time is all that is asked of lmdb-js here. Its own batching adds a write of which nobody
    // holds the promise, so that a failing commit would end the process with an unhandled rejection.
    eventTurnBatching: false,
    mapSize: mapBytes,
    maxReaders: MAX_READERS,
    maxDbs: MAX_DATABASES,
    // The queue holds mail: no one else on the machine may read it.
    ...{ permissionsMode: 0o600 },
  })
}

/** Runs operations durably. Made by {@link groupCommit}. */
export type GroupCommit = {
  /**
   * Runs `operation` inside a write transaction that sees everything committed before, by any process, and resolves
   * with its result once that transaction is on stable storage. It runs once more, alone, if it was not stored. If it
   * throws, it rejects with what was thrown; the rest of the transaction goes on, so an operation must not throw
   * after its first write (a failing write of lmdb's own spoils the whole transaction, which is what one wants).
   * @param withinMs how long to wait. An operation whose transaction has not begun by then is withdrawn.
   * @throws {CommitError} if the transaction could not be stored. @throws {SlowCommitError} after `withinMs`.
   */
  run<T>(operation: () => T, withinMs?: number): Promise<T>
  /** Resolves when nothing is waiting or being committed. */
  idle(): Promise<void>
  /** Why no commit can succeed any more in this process, if so. */
  failure(): CommitError | undefined
  /** For how long the present transaction has been under way; 0 if there is none. */
  underWayMs(): number
}

type Member = {
  /** Runs the operation and keeps what it returned or threw; returns an error of lmdb's that it threw, if any. */
  attempt(): unknown
  committed(): void
  failed(error: CommitError): void
}

/** What became of one transaction: which operations were in it, and why it was not stored, if so. */
type Attempt = { members: Member[]; error: CommitError | undefined }

/**
 * @param monotonic the clock in ms that no step moves
 * @param onCommit hears of every transaction, stored or not
 */
export function groupCommit(
  environment: RootDatabase,
  monotonic: () => number,
  onCommit: (times: CommitTimes) => void = () => {},
): GroupCommit {
  let waiting: Member[] = []
  let working: Promise<void> | undefined
  let failure: CommitError | undefined
  const transactions = createTransactions(environment, monotonic, onCommit)

  async function commitAll(): Promise<void> {
    while (waiting.length > 0) {
      const { members, error } = await attempt(takeWaiting)
      if (error === undefined) for (const member of members) member.committed()
      // On a full disk what needs least may still fit: each alone, so that a large message fails no small change. Who
      // was alone already is tried again too: a failed transaction makes lmdb read its list of free pages anew.
      else if (members.length > 0) for (const member of members) await commitAlone(member)
      else for (const member of takeWaiting()) member.failed(error)
    }
    working = undefined
  }

  async function commitAlone(member: Member): Promise<void> {
    const { error } = await attempt(() => [member])
    if (error === undefined) member.committed()
    else member.failed(error)
  }

  async function attempt(take: () => Member[]): Promise<Attempt> {
    if (failure !== undefined) return { members: [], error: failure }
    const done = await transactions.run(take)
    if (done.error !== undefined && isUnusable(environment)) failure = done.error
    return done
  }

  function takeWaiting(): Member[] {
    return waiting.splice(0, BATCH_OPERATIONS)
  }

  /** Whether `member` was still waiting for a transaction. */
  function withdraw(member: Member): boolean {
    const before = waiting.length
    waiting = waiting.filter((other) => other !== member)
    return waiting.length < before
  }

  return {
    run: (operation, withinMs) =>
      new Promise((resolve, reject) => {
        const member = memberOf(operation, resolve, reject)
        waiting.push(withinMs === undefined ? member : withDeadline(member, withinMs, { withdraw, reject }))
        working ??= Promise.resolve().then(commitAll)
      }),
    idle: async () => {
      while (working !== undefined) await working
    },
    failure: () => failure,
    underWayMs: () => transactions.underWayMs(),
  }
}

/** Runs transactions and takes their time. */
function createTransactions(
  environment: RootDatabase,
  monotonic: () => number,
  onCommit: (times: CommitTimes) => void,
) {
  let readersCheckedMs = -Infinity
  let begunMs: number | undefined

  function checkReaders(): void {
    if (monotonic() - readersCheckedMs < READER_CHECK_MS) return
    readersCheckedMs = monotonic()
    environment.readerCheck()
  }

  return {
    run: async (take: () => Member[]): Promise<Attempt> => {
      const startedMs = monotonic()
      let lockedMs: number | undefined
      begunMs = startedMs
      const done = await transact(environment, checkReaders, () => {
        lockedMs = monotonic()
        return take()
      })
      begunMs = undefined
      const endedMs = monotonic()
      onCommit({ tookMs: endedMs - startedMs, lockWaitMs: (lockedMs ?? endedMs) - startedMs })
      return done
    },
    underWayMs: () => (begunMs === undefined ? 0 : monotonic() - begunMs),
  }
}

/** A member whose caller hears within `withinMs` that there is no commit yet. */
function withDeadline(
  member: Member,
  withinMs: number,
  { withdraw, reject }: { withdraw: (member: Member) => boolean; reject: (error: Error) => void },
): Member {
  // After the poll for events: when the process itself stood still, the commit may be there by now.
  const giveUp = () => reject(new SlowCommitError(withinMs, withdraw(timed)))
  const late = setTimeout(() => setImmediate(giveUp), withinMs)
  const timed: Member = {
    attempt: () => member.attempt(),
    committed: () => {
      clearTimeout(late)
      member.committed()
    },
    failed: (error) => {
      clearTimeout(late)
      member.failed(error)
    },
  }
  return timed
}

/** One transaction. Its operations are taken when the lock is ours: who came while we waited comes along. */
async function transact(
  environment: RootDatabase,
  prepare: () => void,
  take: () => Member[],
): Promise<Attempt> {
  let members: Member[] = []
  let writeError: unknown
  try {
    prepare()
    await writeFromNewestState(environment, () => {
      members = take()
      for (const member of members) {
        const error = member.attempt()
        // The first tells why; those after it only say that the transaction is spoilt.
        writeError ??= error
      }
    })
    return { members, error: undefined }
  } catch (thrown) {
    // Asked for even when an operation has said why: that promise rejects, and if nobody holds it the process ends.
    const reason = await reasonOf(thrown)
    return { members, error: new CommitError(writeError ?? reason) }
  }
}

function memberOf<T>(
  operation: () => T,
  resolve: (value: T) => void,
  reject: (error: unknown) => void,
): Member {
  let committed: () => void
  return {
    attempt: () => {
      try {
        const value = operation()
        committed = () => resolve(value)
        return undefined
      } catch (error) {
        committed = () => reject(error)
        return typeof (error as { code?: unknown }).code === 'number' ? error : undefined
      }
    },
    committed: () => committed(),
    failed: reject,
  }
}

/** lmdb-js rejects with a general error whose `commitError` is a promise that rejects with the real one. */
async function reasonOf(thrown: unknown): Promise<unknown> {
  const later = (thrown as { commitError?: Promise<never> } | undefined)?.commitError
  if (later === undefined) return thrown
  return later.then(
    () => thrown,
    (reason: unknown) => reason,
  )
}

/** Whether even an empty transaction fails: lmdb then needs the process to be restarted. */
function isUnusable(environment: RootDatabase): boolean {
  try {
    environment.transactionSync(() => undefined)
    return false
  } catch {
    return true
  }
}
