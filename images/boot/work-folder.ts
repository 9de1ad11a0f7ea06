// Temporary folders for one process: firmware variables, spool disks. Each name holds the process id.
// A later process removes the folders of processes that were killed.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Makes a new folder in `parent` (created if missing), and removes those of processes that have ended. */
export function makeWorkFolder(parent: string): string {
  mkdirSync(parent, { recursive: true })
  for (const name of readdirSync(parent)) {
    const pid = Number(/^run-(\d+)-/.exec(name)?.[1])
    if (pid > 0 && !isAlive(pid)) removeWorkFolder(join(parent, name))
  }
  return mkdtempSync(join(parent, `run-${process.pid}-`))
}

export function removeWorkFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
