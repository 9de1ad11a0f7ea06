// The watchdog of systemd (WatchdogSec= of the unit): reports that this process works, so that one which hangs is
// started again. Owns: what "works" means here, and the helper that carries the reports. Node has no Unix datagram
// socket, so a shell passes each report to systemd-notify (docs/decisions/049-watchdog.md). Never fails: a report that
// cannot be sent is logged, and systemd acts when none arrives.
import { spawn, type ChildProcess } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { errorFields, type Log } from '../log.ts'

/** Three reports may be late or lost before systemd acts. */
const REPORTS_PER_TIMEOUT = 4

/** Ends when its standard input does, so with this process, however that ends. */
const HELPER = 'while read -r state; do systemd-notify "$state"; done'

/** Starts reporting, if systemd asks this process for it. It ends with the process. */
export function startWatchdog(env: NodeJS.ProcessEnv, log: Log): void {
  const everyMs = intervalMs(env, process.pid)
  if (everyMs === null) return
  let helper: ChildProcess | null = null
  let isChecking = false
  const report = async () => {
    if (isChecking) return
    isChecking = true
    await threadPoolAnswers()
    isChecking = false
    helper ??= startHelper(log, () => (helper = null))
    // Reports that the helper has not taken are not piled up.
    if (helper.stdin!.writableLength === 0) helper.stdin!.write('WATCHDOG=1\n')
  }
  setInterval(() => void report(), everyMs).unref()
}

/** How often to report, in milliseconds; null when systemd does not watch the process `pid` (sd_watchdog_enabled(3)). */
export function intervalMs(env: NodeJS.ProcessEnv, pid: number): number | null {
  const { NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC } = env
  const timeoutMs = Number(WATCHDOG_USEC) / 1_000
  const isOurs = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === pid
  if (NOTIFY_SOCKET === undefined || !isOurs || !(timeoutMs > 0)) return null
  return timeoutMs / REPORTS_PER_TIMEOUT
}

/** That this runs shows that the event loop turns. Files and names are read by Node's thread pool: it must turn too. */
async function threadPoolAnswers(): Promise<void> {
  // An error is an answer.
  await stat('.').catch(() => {})
}

function startHelper(log: Log, onEnd: () => void): ChildProcess {
  const helper = spawn('sh', ['-c', HELPER], { stdio: ['pipe', 'ignore', 'inherit'] })
  const failed = (error: unknown) => log('watchdog-failed', errorFields(error))
  helper.on('error', failed)
  helper.stdin.on('error', failed)
  helper.once('close', onEnd)
  helper.unref()
  ;(helper.stdin as unknown as { unref: () => void }).unref()
  return helper
}
