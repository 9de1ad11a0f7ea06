// Atomic, durable file writes: a reader finds the old content or the new one, also after a power cut.
// Every function here flushes the data and the folder (fsync(2)), and removes its temporary file when it fails.
// Fails with the file system's error.
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { dirname, resolve } from 'node:path'

export type FileMode = {
  /** Permissions of the new file, before the umask. The default is 0o666. */
  mode?: number
}

/** Replaces a file. Does nothing when the file has this content already. */
export function writeFileAtomic(file: string, content: string | Uint8Array, { mode }: FileMode = {}): void {
  if (fs.existsSync(file) && fs.readFileSync(file).equals(Buffer.from(content))) return
  withTemporary(file, (temporary) => {
    fs.writeFileSync(temporary, content, { flag: 'wx', flush: true, mode: mode ?? 0o666 })
    fs.renameSync(temporary, file)
  })
}

/**
 * Creates a file, and never replaces one: of several processes, one creates it and the others find it (link(2)).
 * @returns whether this call created it
 */
export function createFileAtomic(
  file: string,
  content: string | Uint8Array,
  { mode }: FileMode = {},
): boolean {
  try {
    withTemporary(file, (temporary) => {
      fs.writeFileSync(temporary, content, { flag: 'wx', flush: true, mode: mode ?? 0o666 })
      fs.linkSync(temporary, file)
      fs.rmSync(temporary)
    })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return false
  }
}

/** Points a symbolic link at `target`, replacing the link that was there. */
export function replaceSymlink(target: string, link: string): void {
  withTemporary(link, (temporary) => {
    fs.symlinkSync(target, temporary)
    fs.renameSync(temporary, link)
  })
}

/**
 * Gives a finished and flushed file or folder its final name. A folder that is there already stays as it is.
 * @returns whether the new content is in place; false when a folder was there before
 */
export function moveIntoPlace(from: string, to: string): boolean {
  makeFolder(dirname(to))
  try {
    fs.renameSync(from, to)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error
    return false
  }
  flushFolder(dirname(to))
  return true
}

/**
 * Makes a folder and the folders above it, unless they are there, and flushes each parent.
 * `mkdir` with `recursive` is not used: below /proc it never returns (Node 26).
 */
export function makeFolder(path: string, { mode }: FileMode = {}): void {
  if (fs.existsSync(path)) return
  const parent = dirname(resolve(path))
  makeFolder(parent, { mode: mode ?? 0o777 })
  try {
    fs.mkdirSync(path, { mode: mode ?? 0o777 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  flushFolder(parent)
}

/** Makes the names in a folder durable. */
export function flushFolder(folder: string): void {
  const descriptor = fs.openSync(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  try {
    fs.fsyncSync(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
}

/** Runs `write` with a name beside the file that no other process or call uses. */
function withTemporary(file: string, write: (temporary: string) => void): void {
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`
  try {
    write(temporary)
  } catch (error) {
    fs.rmSync(temporary, { force: true })
    throw error
  }
  flushFolder(dirname(file))
}
