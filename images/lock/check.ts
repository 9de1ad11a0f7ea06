// Checks whether a lock still matches the mirror, and whether its packages can still be fetched. Owns:
// fetching superseded packages into the cache before the mirror drops them. Fails only with a disk error.
import { fetchDebs, FetchError, type FetchOptions } from '../archive/fetch.ts'
import { diffLocks, lockChanges } from './changes.ts'
import type { Lock } from '../lock-file.ts'

export type LockCheck = {
  /** Packages that the mirror has instead of the locked ones. Empty when the lock is up to date. */
  differences: string[]
  /** The superseded packages that neither the cache nor a source has, with each source's answer. */
  lost: FetchError | null
}

/**
 * Compares `lock` with `fresh`, a lock of what the mirror has today. Packages that the mirror no longer lists are fetched
 * unless the cache has them. The others are not fetched.
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
