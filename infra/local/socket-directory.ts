// The directory of a fleet's admin sockets, under the system's temporary one: a socket's path is bounded, and a fleet's
// directory may lie deep. Owns: making it, and removing those of supervisors that were killed. A lock in the directory
// ends with its supervisor. What cannot be removed stays; it harms nothing.
import { lstatSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tryLock } from './file-lock.ts'

const NAME = /^mailfleet-sockets-[A-Za-z0-9]{6}$/

export type SocketDirectory = { path: string; remove: () => void }

/** Removes what killed supervisors left, then makes a directory for this one. */
export function makeSocketDirectory(): SocketDirectory {
  for (const name of readdirSync(tmpdir())) if (NAME.test(name)) removeIfLeft(join(tmpdir(), name))
  const path = mkdtempSync(join(tmpdir(), 'mailfleet-sockets-'))
  const lock = tryLock(join(path, 'new'))
  // Seen under this name only once it is locked: another supervisor that tidies up finds no free lock.
  renameSync(join(path, 'new'), join(path, 'lock'))
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true })
      lock?.release()
    },
  }
}

function removeIfLeft(path: string): void {
  try {
    const found = lstatSync(path)
    if (!found.isDirectory() || found.uid !== process.getuid?.()) return
    if (!lstatSync(join(path, 'lock')).isFile()) return
    const lock = tryLock(join(path, 'lock'))
    if (lock === null) return
    rmSync(path, { recursive: true, force: true })
    lock.release()
  } catch {
    // Gone meanwhile, or without a lock yet.
  }
}
