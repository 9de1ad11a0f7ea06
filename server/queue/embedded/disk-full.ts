// Tells a full disk from a broken one.
import { statfsSync } from 'node:fs'
import type { CommitError } from './durable.ts'

export const DISK_FULL = 'the disk under the queue is full'

/** How long a full disk refuses new mail. The remaining room serves the entries that are queued already. */
export const FULL_PAUSE_MS = 1000

/** ENOSPC, EDQUOT, and lmdb's MDB_MAP_FULL. */
const NO_ROOM = [28, 122, -30792]

/** The code that lmdb gives for a short write. The last free bytes of a disk cause one. */
const EIO = 5

/** A disk with less free space counts as full: a short write has used the rest. */
const FULL_DISK_BYTES = 1024 * 1024

/** Whether a commit in `path` failed because the disk is full. */
export function isDiskFull(path: string, { errno }: CommitError): boolean {
  if (NO_ROOM.includes(errno)) return true
  if (errno !== EIO) return false
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize < FULL_DISK_BYTES
}
