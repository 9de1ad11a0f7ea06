// When the disk takes no more. Owns: telling a disk without room from a broken one.
import { statfsSync } from 'node:fs'
import type { CommitError } from './durable.ts'

export const DISK_FULL = 'the disk under the queue is full'

/** How long a full disk is not tried again with new mail: what room there is goes to work on what is queued. */
export const FULL_PAUSE_MS = 1000

/** ENOSPC, EDQUOT, and lmdb's MDB_MAP_FULL. */
const NO_ROOM = [28, 122, -30792]

/** What lmdb makes of a short write, which is what the last room on a disk gives. */
const EIO = 5

/** A disk is called full below this. A short write has used up all that was there. */
const FULL_DISK_BYTES = 1024 * 1024

/** Whether a commit in `path` failed for want of room. */
export function isDiskFull(path: string, { errno }: CommitError): boolean {
  if (NO_ROOM.includes(errno)) return true
  if (errno !== EIO) return false
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize < FULL_DISK_BYTES
}
