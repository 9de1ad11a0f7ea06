// Ends the processes that a test run leaves behind, orphans included. Finds them by a folder name in their
// environment. Misses processes of other users, and processes whose environment was replaced.
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** What a process is given to end by itself before it is killed. */
const GRACE_MS = 2_000
const LOOK_MS = 50

/** Ends every process whose environment at its start named `folder`: SIGTERM, then SIGKILL. */
export async function endProcesses(folder: string): Promise<void> {
  send('SIGTERM', processesNaming(folder))
  const deadlineMs = performance.now() + GRACE_MS
  while (processesNaming(folder).length > 0) {
    if (performance.now() > deadlineMs) send('SIGKILL', processesNaming(folder))
    await sleep(LOOK_MS)
  }
}

function send(signal: NodeJS.Signals, pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch {
      // It has ended.
    }
  }
}

function processesNaming(folder: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
  return pids.filter((pid) => environmentOf(pid).includes(folder)).map(Number)
}

/** Empty for a process that has ended, or that this user may not read. */
function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1')
  } catch {
    return ''
  }
}
