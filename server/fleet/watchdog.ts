// Reports to systemd's watchdog (WatchdogSec= of the unit) that this process works, so that systemd restarts a hung one.
// Owns: what "works" means, and the helper that sends the reports. Node has no Unix datagram socket, so a shell passes
// each report to systemd-notify (docs/decisions/049-watchdog.md). Never throws: a failed report is logged, and systemd
// acts when none arrives.
import { spawn, type ChildProcess } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { errorFields, type Log } from '../log.ts'

/** Three reports may be late or lost before systemd acts. */
const REPORTS_PER_TIMEOUT = 4

/** Ends with its standard input, and so with this process. */
const HELPER = 'while read -r state; do systemd-notify "$state"; done'

/** Starts reporting if systemd watches this process. Reporting ends with the process. */
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
    // A report is dropped while the helper has not read the last one.
    if (helper.stdin!.writableLength === 0) helper.stdin!.write('WATCHDOG=1\n')
  }
  setInterval(() => void report(), everyMs).unref()
}

/** The report interval in milliseconds; null when systemd does not watch the process `pid` (sd_watchdog_enabled(3)). */
export function intervalMs(env: NodeJS.ProcessEnv, pid: number): number | null {
  const { NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC } = env
  const timeoutMs = Number(WATCHDOG_USEC) / 1_000
  const isOurs = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === pid
  if (NOTIFY_SOCKET === undefined || !isOurs || !(timeoutMs > 0)) return null
  return timeoutMs / REPORTS_PER_TIMEOUT
}

/** Checks Node's thread pool, which reads files and names. The call itself shows that the event loop runs. */
async function threadPoolAnswers(): Promise<void> {
  // An error is an answer too.
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
