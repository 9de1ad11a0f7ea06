// The directory of the embedded queue. Owns: the checks that it is writable, on stable storage, and either
// empty or an existing queue. Also makes the files survive a power cut.
// The checks run before lmdb opens the files, because a failing open in lmdb-js 3.5.6 crashes the process.
// Throws InputError with all problems, or SpoolUnusableError for a full or read-only disk, which may be
// temporary.
import * as fs from 'node:fs'
import { join } from 'node:path'
import { InputError, type Problem } from '../../../input/problems.ts'
import { createFileAtomic, makeFolder } from '../../../platform/atomic-file.ts'

/** ENOSPC and EDQUOT: the disk has no room. */
const NO_ROOM = ['ENOSPC', 'EDQUOT']

/** Errors that can end without a new configuration: room is made, or the disk is remounted or replaced. */
const PASSING = [...NO_ROOM, 'EROFS', 'EIO']

/** The spool cannot be opened now, but may be later. */
export class SpoolUnusableError extends Error {
  override readonly name = 'SpoolUnusableError'
  readonly code: string

  constructor(path: string, code: string, cause: unknown) {
    super(`the spool ${path} cannot be opened: ${code}`, { cause })
    this.code = code
  }

  /** True: the disk has no room. False: it cannot be written at all. */
  get full(): boolean {
    return NO_ROOM.includes(this.code)
  }
}

/** The path no longer leads to the open data file. */
export class SpoolGoneError extends Error {
  override readonly name = 'SpoolGoneError'
}

/** File systems that lose everything at power-off, by statfs's type (include/uapi/linux/magic.h). */
const VOLATILE_FILE_SYSTEMS = new Map([
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
])

/** More than the lock file needs: a page of header and 64 bytes for each reader slot. */
const LOCK_FILE_BYTES = 4096 + 512 * 64

/** More than a new, empty queue needs: two root pages and a few for each database. */
const NEW_QUEUE_BYTES = 256 * 1024

/** How lmdb's data file begins: a page header, then this number and version 2 of its format, little-endian. */
const LMDB_MAGIC = Buffer.from([0xde, 0xc0, 0xef, 0xbe, 2, 0, 0, 0])
const LMDB_MAGIC_OFFSET = 24

/**
 * Checks that the queue may use the directory `path`; creates it if it is missing.
 * @throws {InputError} if it cannot be created or written; if it is on tmpfs or ramfs without `volatile`; if flushing
 * is off without `volatile`; if its data file is not a queue's.
 * @throws {SpoolUnusableError} if the problem may pass.
 */
export function prepareSpool(o: { path: string; volatile: boolean; flush: boolean }): void {
  const problems: Problem[] = []
  if (!o.flush && !o.volatile) {
    const expected = 'true, or volatile: true (accepted mail may then be lost)'
    problems.push({ key: 'flush', found: 'false', expected })
  }
  try {
    makeFolder(o.path, { mode: 0o700 })
    fs.readdirSync(o.path)
    fs.accessSync(o.path, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK)
    const kind = VOLATILE_FILE_SYSTEMS.get(fs.statfsSync(o.path).type)
    if (kind !== undefined && !o.volatile) {
      const expected = 'a directory on stable storage, or volatile: true (accepted mail may then be lost)'
      problems.push({ key: 'path', found: kind, expected })
    }
    if (problems.length === 0) prepareFiles(o.path, problems)
  } catch (error) {
    const found = (error as NodeJS.ErrnoException).code ?? String(error)
    if (PASSING.includes(found) && problems.length === 0) throw new SpoolUnusableError(o.path, found, error)
    problems.push({ key: 'path', found, expected: 'a directory that can be created and written' })
  }
  if (problems.length > 0) throw new InputError(o.path, problems)
}

/**
 * Remembers the identity of the open data file in `path`. Call it once the file is open.
 * @returns a check that throws SpoolGoneError when the file was removed, moved, or mounted over
 */
export function watchDataFile(path: string): () => void {
  const file = join(path, 'data.mdb')
  const opened = fs.statSync(file)
  return () => {
    const found = fs.statSync(file, { throwIfNoEntry: false })
    if (found?.dev === opened.dev && found.ino === opened.ino) return
    throw new SpoolGoneError(`${file} is ${found === undefined ? 'gone' : 'another file than the open one'}`)
  }
}

function prepareFiles(path: string, problems: Problem[]): void {
  for (const name of ['data.mdb', 'lock.mdb']) {
    const file = join(path, name)
    if (fs.existsSync(file)) fs.accessSync(file, fs.constants.R_OK | fs.constants.W_OK)
  }
  const start = startOf(join(path, 'data.mdb'))
  if (start.length === 0) writeAndRemove(join(path, `room.${process.pid}`), NEW_QUEUE_BYTES)
  else if (!start.subarray(LMDB_MAGIC_OFFSET).equals(LMDB_MAGIC)) {
    problems.push({ key: 'path', found: 'a data.mdb of another kind', expected: 'a queue, or no data.mdb' })
    return
  }
  reserveLockFile(path)
}

/** The first bytes of the data file; none if it is missing or empty. */
function startOf(file: string): Buffer {
  if (!fs.existsSync(file)) return Buffer.alloc(0)
  const handle = fs.openSync(file, 'r')
  try {
    const start = Buffer.alloc(LMDB_MAGIC_OFFSET + LMDB_MAGIC.length)
    return start.subarray(0, fs.readSync(handle, start, 0, start.length, 0))
  } finally {
    fs.closeSync(handle)
  }
}

/** Throws ENOSPC if there is no room for `bytes`. */
function writeAndRemove(file: string, bytes: number): void {
  try {
    fs.writeFileSync(file, Buffer.alloc(bytes), { flush: true })
  } finally {
    fs.rmSync(file, { force: true })
  }
}

/**
 * lmdb writes its lock file through a memory map. On a full disk, a hole in that file would kill the process (SIGBUS).
 * So this writes the whole file first, and atomically, since another process may be opening it.
 */
function reserveLockFile(path: string): void {
  const lock = join(path, 'lock.mdb')
  if (fs.existsSync(lock)) return
  createFileAtomic(lock, Buffer.alloc(LOCK_FILE_BYTES), { mode: 0o600 })
}
