// Makes write transactions start from the newest state. Owns: the check that every write of the queue passes first.
// The lock file holds the newest transaction's number. A process that opens the environment reads that number
// from the data file. It then writes it into the lock file without holding the lock (mdb_env_open2). If
// another process commits in between, the next transaction starts from the older state and overwrites that
// commit. Acknowledged mail would be lost, and its pages used twice.
// Throws if the lock file cannot be written, or does not hold what was written.
import { openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'

/**
 * Offset of that number in the lock file: a 64-bit integer in native byte order, after magic and format of 4 bytes
 * each.
 */
const NEWEST_OFFSET = 8

/**
 * A correction fails only when another process opens the queue at that moment. A few failures in a row are rare
 * already.
 */
const TRIES = 100

/** Never closed: closing any descriptor of the lock file drops the process's own locks on it (POSIX). */
const lockFiles = new WeakMap<RootDatabase, number>()

const NEVER_NEWEST = `no write transaction starts from the newest state, in ${TRIES} tries: is lock.mdb damaged?`

/**
 * Runs `write` in a transaction and resolves once that is committed. A transaction that starts from an old state stays
 * empty, which does no harm.
 */
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

/** Does the same synchronously and returns the result of `write`. */
export function writeFromNewestStateSync<T>(environment: RootDatabase, write: () => T): T {
  for (let tries = 0; tries < TRIES; tries++) {
    const done = environment.transactionSync(() =>
      startsFromNewest(environment) ? { result: write() } : undefined,
    )
    if (done !== undefined) return done.result
  }
  throw new Error(NEVER_NEWEST)
}

/** Whether the running write transaction starts from the newest state. If not, corrects the number for the next one. */
function startsFromNewest(environment: RootDatabase): boolean {
  // Read from the root pages, which only the holder of the write lock changes: this process.
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
