// A file lock that ends with the process that holds it: flock(2).
// Node has no call for it, so util-linux's flock takes the lock on our descriptor. The kernel keeps it while that is open.
// Fails with the system's error when the file cannot be opened or flock cannot run.
import { spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'

/** flock's exit status when another process holds the lock: any value that flock itself does not use (flock(1), -E). */
const HELD = 75

export type FileLock = { release: () => void }

/** Takes the lock and writes this process's pid into the file. @returns null when another process holds it. */
export function tryLock(file: string): FileLock | null {
  const fd = openSync(file, 'a+', 0o600)
  const args = ['--exclusive', '--nonblock', '--conflict-exit-code', String(HELD), '3']
  const { status, error, stderr } = spawnSync('flock', args, { stdio: ['ignore', 'ignore', 'pipe', fd] })
  if (status === 0) {
    ftruncateSync(fd)
    writeSync(fd, `${process.pid}\n`)
    return { release: () => closeSync(fd) }
  }
  closeSync(fd)
  if (status === HELD) return null
  throw new Error(`cannot lock ${file}: ${error?.message ?? String(stderr).trim()}`, { cause: error })
}

/** The pid in a lock file; null when there is none. */
export function lockHolder(file: string): number | null {
  const pid = Number(readFileSync(file, 'utf8').trim())
  return Number.isInteger(pid) && pid > 0 ? pid : null
}
