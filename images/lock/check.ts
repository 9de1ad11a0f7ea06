// Whether a lock is still what the mirror gives, and whether what it names can still be had. Owns: bringing into the
// cache what the mirror is about to lose, while some place still has it. Fails with the disk's error only.
import { fetchDebs, FetchError, type FetchOptions } from '../archive/fetch.ts'
import { diffLocks, lockChanges } from './changes.ts'
import type { Lock } from '../lock-file.ts'

export type LockCheck = {
  /** What the mirror gives in place of the locked packages; empty: the lock is up to date. */
  differences: string[]
  /** Which superseded packages neither the cache nor any place has, and what each place said. */
  lost: FetchError | null
}

/**
 * Holds `lock` against `fresh`, what the mirror gives today. Packages that the mirror lists unchanged are not looked
 * for; those it lists no more are fetched unless the cache has them.
 */
export async function checkLock(lock: Lock, fresh: Lock, options: FetchOptions): Promise<LockCheck> {
  const superseded = lockChanges(lock, fresh).flatMap(({ from }) => (from && 'sha256' in from ? [from] : []))
  const differences = diffLocks(lock, fresh)
  try {
    const once = new Map(superseded.map((deb) => [deb.sha256, deb]))
    await fetchDebs([...once.values()], lock, options)
    return { differences, lost: null }
  } catch (error) {
    if (error instanceof FetchError) return { differences, lost: error }
    throw error
  }
}
