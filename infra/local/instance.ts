// One instance of the fleet: a process group from launch to exit, with the states of an Auto Scaling group.
// Owns: the process, its log and its state. In service means that its /readyz returned 200. An instance that is not ready
// or not drained in time is killed. Failures end in the state Terminated with a cause; nothing throws after the launch.
import { execa } from 'execa'
import { finished } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { getAdmin } from './admin-client.ts'
import { boundedLog } from './bounded-log.ts'
import { STATUS_FD, type InstanceCommand } from './launcher.ts'
import { READY_PATH } from '../../contract/admin-paths.ts'

/** Pending → InService → Terminating → Terminated, as EC2 Auto Scaling names its lifecycle states. */
export type InstanceState = 'Pending' | 'InService' | 'Terminating' | 'Terminated'

/** An instance's state. Times are in ms since the epoch, null until they are reached. */
export type InstanceView = {
  id: string
  state: InstanceState
  /** The pid of the server, not of the sandbox; null until it is known. */
  pid: number | null
  launchedAtMs: number
  inServiceAtMs: number | null
  terminatingAtMs: number | null
  terminatedAtMs: number | null
  exitCode: number | null
  exitSignal: string | null
  /** Why it ended: 'crashed', 'not ready in time', 'drain took too long', or the reason of its drain. */
  cause: string | null
}

export type InstanceOptions = {
  id: string
  command: InstanceCommand
  listenFd: number
  adminSocket: string
  logFile: string
  /** Time from launch to in service. A cold start on a loaded 2-core machine takes 3 s. */
  readyTimeoutMs: number
  /** Time from SIGTERM to SIGKILL. */
  drainTimeoutMs: number
  /** Called at each change of state. */
  onState: (view: InstanceView) => void
}

export type Instance = {
  view: () => InstanceView
  adminSocket: string
  logFile: string
  /** Sends SIGTERM to the server, then SIGKILL to its group after the timeout. Further calls do nothing. */
  drain: (cause: string) => void
  /** Sends SIGKILL to the whole process group. */
  kill: (cause: string) => void
  terminated: Promise<InstanceView>
}

/** How often a pending instance is asked whether it is ready: 5 % of a fast start of about 1 s. */
const READY_POLL_MS = 50

/** Starts the process. Returns at once, in state Pending. */
export function launchInstance(options: InstanceOptions): Instance {
  const { id, command, adminSocket, logFile } = options
  const view: InstanceView = {
    id,
    state: 'Pending',
    pid: null,
    launchedAtMs: Date.now(),
    inServiceAtMs: null,
    terminatingAtMs: null,
    terminatedAtMs: null,
    exitCode: null,
    exitSignal: null,
    cause: null,
  }
  const process = startProcess(command, options.listenFd, logFile, (pid) => (view.pid = pid))
  const become = (state: InstanceState): void => {
    view.state = state
    options.onState({ ...view })
  }
  const kill = (cause: string): void => {
    if (view.state === 'Terminated') return
    view.cause = cause
    process.signalGroup('SIGKILL')
    // It is no longer in service, even if the kernel ends it later.
    if (view.state !== 'InService') return
    view.terminatingAtMs = Date.now()
    become('Terminating')
  }
  const drain = (cause: string): void => {
    if (view.state === 'Terminating' || view.state === 'Terminated') return
    view.cause = cause
    view.terminatingAtMs = Date.now()
    become('Terminating')
    // The sandbox has not reported the server's pid yet, so the server has no work to finish.
    if (view.pid === null) kill('ended before it ran')
    else signal(view.pid, 'SIGTERM')
    const late = setTimeout(() => kill('drain took too long'), options.drainTimeoutMs)
    void terminated.then(() => clearTimeout(late))
  }
  const terminated = process.exit.then(({ code, signal }) => {
    view.exitCode = code
    view.exitSignal = signal
    view.terminatedAtMs = Date.now()
    view.cause ??= 'crashed'
    become('Terminated')
    return { ...view }
  })
  const pending = () => view.state === 'Pending'
  void isReadyInTime(adminSocket, options.readyTimeoutMs, pending).then((ready) => {
    if (!pending()) return
    if (!ready) return kill('not ready in time')
    view.inServiceAtMs = Date.now()
    become('InService')
  })
  return { view: () => ({ ...view }), adminSocket, logFile, drain, kill, terminated }
}

async function isReadyInTime(
  adminSocket: string,
  timeoutMs: number,
  pending: () => boolean,
): Promise<boolean> {
  const deadlineMs = Date.now() + timeoutMs
  while (pending() && Date.now() < deadlineMs) {
    const answer = await getAdmin(adminSocket, READY_PATH, 1000)
    if (answer?.status === 200) return true
    await sleep(READY_POLL_MS)
  }
  return false
}

type Process = {
  exit: Promise<{ code: number | null; signal: string | null }>
  signalGroup: (signal: NodeJS.Signals) => void
}

function startProcess(
  { file, args, statusFd }: InstanceCommand,
  listenFd: number,
  logFile: string,
  onPid: (pid: number) => void,
): Process {
  const child = execa(file, args, {
    // At the indices FIRST_PASSED_FD and STATUS_FD. execa's types allow descriptors up to 9; it accepts any.
    stdio: ['ignore', 'pipe', 'pipe', listenFd as 9, statusFd ? 'pipe' : 'ignore'],
    // A separate process group: Ctrl-C on the terminal then signals only the supervisor, which drains.
    detached: true,
    // The kernel kills it when the supervisor dies: see launcher.ts.
    cleanup: false,
    buffer: false,
    reject: false,
  })
  const log = boundedLog(logFile)
  for (const output of [child.stdio[1], child.stdio[2]]) output?.pipe(log, { end: false })
  if (!statusFd && child.pid !== undefined) onPid(child.pid)
  if (statusFd) readStatus(child.stdio[STATUS_FD] as NodeJS.ReadableStream, onPid)
  return {
    signalGroup: (name) => {
      if (child.pid !== undefined) signal(-child.pid, name)
    },
    exit: child.then(async (result) => {
      if (result.failed && result.exitCode === undefined && result.signal === undefined) {
        log.write(`${result.shortMessage ?? 'could not be started'}\n`)
      }
      log.end()
      await finished(log).catch(() => {})
      return { code: result.exitCode ?? null, signal: result.signal ?? null }
    }),
  }
}

/** Reads bubblewrap's --json-status-fd: one JSON object per line, the first with "child-pid" (bwrap(1)). */
function readStatus(stream: NodeJS.ReadableStream, onPid: (pid: number) => void): void {
  let text = ''
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString()
    const found = /"child-pid":\s*(\d+)/.exec(text)
    if (found) onPid(Number(found[1]))
    if (found) stream.removeAllListeners('data').resume()
  })
}

/** Sends a signal. A process that has already ended is no error. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
