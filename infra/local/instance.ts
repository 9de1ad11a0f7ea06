// One instance of the fleet: a process group of its own, from launch to exit, in the states of an Auto Scaling group.
// Owns: the process, its log file, and when it counts as in service (its /readyz said 200), draining or gone.
// An instance that is not ready in time, or not gone in time, is killed: both end in the state Terminated with the
// cause in its view. It never throws after the launch; a command that cannot be started is Terminated as well.
import { execa } from 'execa'
import { finished } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { getAdmin } from './admin-client.ts'
import { boundedLog } from './bounded-log.ts'
import { STATUS_FD, type InstanceCommand } from './launcher.ts'
import { READY_PATH } from '../../contract/admin-paths.ts'

/** Pending → InService → Terminating → Terminated, as EC2 Auto Scaling names its lifecycle states. */
export type InstanceState = 'Pending' | 'InService' | 'Terminating' | 'Terminated'

/** What is known of an instance; times in ms since the epoch, null as long as it has not come to that. */
export type InstanceView = {
  id: string
  state: InstanceState
  /** The server's own pid, not the sandbox's; null before it is known. */
  pid: number | null
  launchedAtMs: number
  inServiceAtMs: number | null
  terminatingAtMs: number | null
  terminatedAtMs: number | null
  exitCode: number | null
  exitSignal: string | null
  /** Why it went: 'crashed', 'not ready in time', 'drain took too long', or what its drain was asked for. */
  cause: string | null
}

export type InstanceOptions = {
  id: string
  command: InstanceCommand
  listenFd: number
  adminSocket: string
  logFile: string
  /** From launch to in service. A cold start on a loaded 2-core machine takes 3 s. */
  readyTimeoutMs: number
  /** From SIGTERM to SIGKILL. */
  drainTimeoutMs: number
  /** Hears of every change of state. */
  onState: (view: InstanceView) => void
}

export type Instance = {
  view: () => InstanceView
  adminSocket: string
  logFile: string
  /** SIGTERM to the server; SIGKILL to its group when it is not gone in time. Later calls change nothing. */
  drain: (cause: string) => void
  /** SIGKILL to the whole group. */
  kill: (cause: string) => void
  terminated: Promise<InstanceView>
}

/** Between two questions whether a pending instance is ready: a twentieth of a fast start of about 1 s. */
const READY_POLL_MS = 50

/** Starts the process and returns at once, in state Pending. */
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
    // It serves no longer, even if the kernel takes its time to end it.
    if (view.state !== 'InService') return
    view.terminatingAtMs = Date.now()
    become('Terminating')
  }
  const drain = (cause: string): void => {
    if (view.state === 'Terminating' || view.state === 'Terminated') return
    view.cause = cause
    view.terminatingAtMs = Date.now()
    become('Terminating')
    // Before the sandbox has said which process is the server there is nothing in progress to wait for.
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
  void awaitReady(adminSocket, options.readyTimeoutMs, pending).then((ready) => {
    if (!pending()) return
    if (!ready) return kill('not ready in time')
    view.inServiceAtMs = Date.now()
    become('InService')
  })
  return { view: () => ({ ...view }), adminSocket, logFile, drain, kill, terminated }
}

async function awaitReady(adminSocket: string, timeoutMs: number, pending: () => boolean): Promise<boolean> {
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
    // In the places of FIRST_PASSED_FD and STATUS_FD. execa's types know descriptors up to 9 only; it takes any.
    stdio: ['ignore', 'pipe', 'pipe', listenFd as 9, statusFd ? 'pipe' : 'ignore'],
    // A session and process group of its own: Ctrl-C on the terminal reaches the supervisor, which then drains.
    detached: true,
    // The kernel ends it when the supervisor dies; see launcher.ts.
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

/** bubblewrap's --json-status-fd: one JSON object a line, the first with "child-pid" (bwrap(1)). */
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

/** Sends a signal; a process that is gone already is what was wanted. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
