// Write transactions that start from the newest state. Owns: the check every one of ours passes before it writes.
// Whoever opens an lmdb environment overwrites, without the lock, the number of the newest transaction in the lock
// file with what it read from the data file a moment before (mdb_env_open2). When another process commits in between,
// the next transaction starts from before that commit and replaces it: what was acknowledged is lost, and its pages
// are handed out twice. Fails by throwing if the lock file cannot be written, or does not hold what was written.
import { openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'

/** Where the lock file has that number, a 64-bit integer of this machine: after magic and format, 4 bytes each. */
const NEWEST_OFFSET = 8

/** Each correction that fails to hold needs another process that opens the queue just then: a few are rare already. */
const TRIES = 100

/** Never closed: to close any descriptor of its lock file takes away a process's own locks on it (POSIX). */
const lockFiles = new WeakMap<RootDatabase, number>()

const NEVER_NEWEST = `no write transaction starts from the newest state, in ${TRIES} tries: is lock.mdb damaged?`

/** Runs `write` in a transaction; resolves when that is committed. One that starts wrong is left empty: no harm done. */
export async function writeFromNewestState(environment: RootDatabase, write: () => void): Promise<void> {
  let started = false
  const check = () => {
    started = startsFromNewest(environment)
    if (started) write()
  }
  for (let tries = 0; !started; tries++) {
    if (tries === TRIES) throw new Error(NEVER_NEWEST)
    await environment.transaction(check)
  }
}

/** The same at once, on this thread, with the result of `write`: for what has to be done before anything else. */
export function writeFromNewestStateSync<T>(environment: RootDatabase, write: () => T): T {
  for (let tries = 0; tries < TRIES; tries++) {
    const done = environment.transactionSync(() =>
      startsFromNewest(environment) ? { result: write() } : undefined,
    )
    if (done !== undefined) return done.result
  }
  throw new Error(NEVER_NEWEST)
}

/** Whether the running write transaction starts from the newest state; if not, sees to it that the next one does. */
function startsFromNewest(environment: RootDatabase): boolean {
  // From the root pages themselves, which only the holder of the write lock changes: that is us.
  const newest = (environment.getStats() as { lastTxnId: number }).lastTxnId
  if (environment.getWriteTxnId() === newest + 1) return true
  writeSync(lockFileOf(environment), new BigUint64Array([BigInt(newest)]), 0, 8, NEWEST_OFFSET)
  return false
}

function lockFileOf(environment: RootDatabase): number {
  const { path } = environment as unknown as { path: string }
  const handle = lockFiles.get(environment) ?? openSync(join(path, 'lock.mdb'), 'r+')
  lockFiles.set(environment, handle)
  return handle
}
