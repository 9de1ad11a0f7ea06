// The directory the embedded queue lives in. Owns: whether it may be used at all (writable, on stable storage), and
// that its files exist and are found again after a power cut. Fails with InputError, all problems at once.
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { InputError, type Problem } from '../../input/problems.ts'

/** File systems that forget everything at power-off, by statfs's type (include/uapi/linux/magic.h). */
const VOLATILE_FILE_SYSTEMS = new Map([
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
])

/** More than the lock file needs: a page of header and 64 bytes for each reader slot. */
const LOCK_FILE_BYTES = 4096 + 512 * 64

/**
 * Makes sure that `path` is a directory the queue may use; creates it if it is missing.
 * @throws {InputError} if it cannot be created or written; if it is on tmpfs or ramfs and not `volatile`; if flushing
 * is off and not `volatile`.
 */
export function prepareSpool({
  path,
  volatile,
  flush,
}: {
  path: string
  volatile: boolean
  flush: boolean
}): void {
  const problems: Problem[] = []
  if (!flush && !volatile) {
    problems.push({
      key: 'flush',
      found: 'false',
      expected: 'true, or volatile: true (accepted mail may then be lost)',
    })
  }
  try {
    makeDirectory(path)
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
    const kind = VOLATILE_FILE_SYSTEMS.get(statfsSync(path).type)
    if (kind !== undefined && !volatile) {
      const expected = 'a directory on stable storage, or volatile: true (accepted mail may then be lost)'
      problems.push({ key: 'path', found: kind, expected })
    }
    if (problems.length === 0) reserveLockFile(path)
  } catch (error) {
    const found = (error as NodeJS.ErrnoException).code ?? String(error)
    problems.push({ key: 'path', found, expected: 'a directory that can be created and written' })
  }
  if (problems.length > 0) throw new InputError(path, problems)
}

/** Makes the names of the files in `path` durable. Call once they exist. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

function makeDirectory(path: string): void {
  const topmost = mkdirSync(path, { recursive: true, mode: 0o700 })
  if (topmost === undefined) return
  for (let made = resolve(path); made !== dirname(resolve(topmost)); made = dirname(made))
    syncDirectory(dirname(made))
}

/**
 * lmdb maps its lock file and writes through the map: on a full disk a hole in that file kills the process (SIGBUS).
 * So the file is written out before lmdb sees it, and put in place in one step, since another process may be opening.
 */
function reserveLockFile(path: string): void {
  const lock = join(path, 'lock.mdb')
  if (existsSync(lock)) return
  const draft = `${lock}.${process.pid}`
  try {
    writeFileSync(draft, Buffer.alloc(LOCK_FILE_BYTES), { mode: 0o600 })
    linkSync(draft, lock)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(draft, { force: true })
  }
}
