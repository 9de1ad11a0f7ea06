// Decides when an operation counts as stored. Owns: the flags of the lmdb environment, and the group commit.
// Operations that arrive during a commit share the next one. A caller gets its result only after fdatasync has returned.
// If a commit fails (disk full, I/O error), all its operations reject and none is stored. If lmdb cannot write its root
// page, all later operations reject until the process restarts.
import { open, type RootDatabase } from 'lmdb'
import { writeFromNewestState } from './newest-state.ts'
import { SlowCommitError } from '../queue.ts'

/** Most operations in one commit. Limits how long one process holds the write lock of all processes. */
const BATCH_OPERATIONS = 500

/** Reader slots in the lock file. A process uses one or two; lmdb's default of 126 allows about 60 processes. */
const MAX_READERS = 252

/** Most named databases in the environment; lmdb reserves room for them. */
const MAX_DATABASES = 12

/** How often a writer clears the reader slots of killed processes. Such a slot keeps freed pages from reuse. */
const READER_CHECK_MS = 10_000

/** The commit failed and nothing of the operation is stored. `cause` is lmdb's error. */
export class CommitError extends Error {
  override readonly name = 'CommitError'
  /** The system's error number (28 = ENOSPC), or lmdb's own, which is negative; 0 if there is none. */
  readonly errno: number

  constructor(cause: unknown) {
    super(`commit failed, nothing stored: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
    this.errno = Number((cause as { code?: unknown } | undefined)?.code ?? 0) || 0
  }
}

/** How long one transaction took, and how long of that it waited for the write lock. */
export type CommitTimes = { tookMs: number; lockWaitMs: number }

/**
 * Opens the environment in the directory `path`, creating it if needed.
 * overlappingSync is off. With it, lmdb-js reports a transaction as done before it is flushed. Without it,
 * mdb_txn_commit returns only after fdatasync of the data and an O_DSYNC write of the root page.
 * `flush: false` (noSync) skips both, so a power cut can lose or corrupt the queue.
 * The map is address space, not memory or disk. lmdb-js grows it when it is too small.
 */
export function openEnvironment(path: string, flush: boolean, mapBytes: number): RootDatabase {
  // lmdb-js's types lack permissionsMode, so the options are a variable.
  const options = {
    path,
    noSubdir: false,
    overlappingSync: false,
    noSync: !flush,
    // This module gives lmdb-js one transaction at a time. Batching of lmdb-js adds a write whose promise no caller
    // holds, so a failing commit would end the process with an unhandled rejection.
    eventTurnBatching: false,
    mapSize: mapBytes,
    maxReaders: MAX_READERS,
    maxDbs: MAX_DATABASES,
    // The queue holds mail, so no other user of the machine may read it.
    permissionsMode: 0o600,
  }
  return open(options)
}

/** Runs operations durably. Made by {@link groupCommit}. */
export type GroupCommit = {
  /**
   * Runs `operation` in a write transaction that sees every earlier commit of every process. Resolves with
   * its result once the transaction is on stable storage. If the transaction was not stored, runs the
   * operation once more, alone.
   * If the operation throws, `run` rejects with that error and the rest of the transaction continues. So an
   * operation must not throw after its first write. An error of lmdb itself fails the whole transaction.
   * @param withinMs how long to wait. An operation whose transaction has not begun by then is withdrawn.
   * @throws {CommitError} if the transaction could not be stored. @throws {SlowCommitError} after `withinMs`.
   */
  run<T>(operation: () => T, withinMs?: number): Promise<T>
  /** Resolves when no operation waits or is being committed. */
  idle(): Promise<void>
  /** Why no commit of this process can succeed any more; undefined while commits can. */
  failure(): CommitError | undefined
  /** How long the current transaction has been running; 0 if there is none. */
  underWayMs(): number
}

type Member = {
  /** Runs the operation and keeps its result or error. Returns the error if it is one of lmdb's. */
  attempt(): unknown
  committed(): void
  failed(error: CommitError): void
}

/** The result of one transaction: its operations, and the error if it was not stored. */
type Attempt = { members: Member[]; error: CommitError | undefined }

/**
 * @param monotonic the clock in ms that no step moves
 * @param onCommit gets the times of every transaction, stored or not
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
      // On a full disk small changes may still fit, so each operation runs alone once more. An operation that already
      // ran alone runs again too: after a failed transaction lmdb reads its list of free pages anew.
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

/** Runs transactions and measures their time. */
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

/** A member whose caller gets a SlowCommitError after `withinMs`. */
function withDeadline(
  member: Member,
  withinMs: number,
  { withdraw, reject }: { withdraw: (member: Member) => boolean; reject: (error: Error) => void },
): Member {
  // Runs after the poll for events: if the process itself was stopped, the commit may be done by now.
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

/**
 * One transaction. It takes its operations once it holds the write lock, so operations that arrived meanwhile are
 * included.
 */
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
        // The first error is the cause; later ones only say that the transaction is spoilt.
        writeError ??= error
      }
    })
    return { members, error: undefined }
  } catch (thrown) {
    // Awaited even when an operation has given the cause: an unhandled rejection would end the process.
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

/** lmdb-js rejects with a general error. Its `commitError` is a promise that rejects with the cause. */
async function reasonOf(thrown: unknown): Promise<unknown> {
  const later = (thrown as { commitError?: Promise<never> } | undefined)?.commitError
  if (later === undefined) return thrown
  return later.then(
    () => thrown,
    (reason: unknown) => reason,
  )
}

/** Whether even an empty transaction fails. lmdb then needs a restart of the process. */
function isUnusable(environment: RootDatabase): boolean {
  try {
    environment.transactionSync(() => undefined)
    return false
  } catch {
    return true
  }
}
