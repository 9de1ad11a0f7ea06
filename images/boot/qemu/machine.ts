// Starts and ends one QEMU. Owns its process, its folder, its console and its control channel.
// QEMU runs in a bubblewrap PID namespace, which the kernel ends with this process, even after SIGKILL.
// Fails with the last output of QEMU and the guest.
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { execa } from 'execa'
import { createConsole, type Console, type ConsoleLine } from './console.ts'
import { HARDWARE, qemuArguments, VARS_NAME, type QemuMachine } from './arguments.ts'
import { openQmp, type Qmp } from './qmp.ts'
import { makeWorkFolder, removeWorkFolder } from '../work-folder.ts'

/** The number of console lines in an error: enough for a kernel panic. */
export const TAIL_LINES = 40

export type MachineRunOptions = {
  /** A folder for the machines' own folders; created if missing. Those of killed processes are removed. */
  workDir: string
  onLine?: (line: ConsoleLine) => void
  onEvent?: (name: string) => void
}

export type Ending = { exitCode: number | undefined; signal: string | undefined }

export type RunningMachine = {
  /** The process of the sandbox. QEMU ends with it. */
  pid: number
  console: Console
  qmp: Qmp
  /** Seconds since QEMU's start. */
  seconds: () => number
  /** Port of the guest → port on the host's loopback. */
  ports: ReadonlyMap<number, number>
  /** Resolves when all processes of the sandbox have ended. Never rejects. */
  ended: Promise<Ending>
  hasEnded: () => boolean
  /** Cuts the power: sends SIGKILL and waits for the end. Has no effect after the end. */
  kill: () => Promise<void>
}

/**
 * Starts a machine. Resolves when QEMU runs and the forwarded ports are known, long before the guest is up.
 * @throws {Error} with QEMU's message if it does not start
 */
export async function startMachine(
  machine: QemuMachine,
  options: MachineRunOptions,
): Promise<RunningMachine> {
  const folder = makeWorkFolder(options.workDir)
  const { program, firmware } = HARDWARE[machine.architecture ?? 'amd64']
  copyFileSync(firmware.vars, join(folder, VARS_NAME))
  const startedMs = performance.now()
  const seconds = () => (performance.now() - startedMs) / 1000
  const subprocess = execa('bwrap', [...SANDBOX, program, ...qemuArguments(machine, folder)], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    buffer: false,
    reject: false,
    encoding: 'latin1',
  })
  const console = createConsole(seconds, options.onLine)
  const complaints = createConsole(seconds)
  subprocess.stdout.setEncoding('latin1').on('data', (chunk: string) => console.push(chunk))
  subprocess.stderr.setEncoding('latin1').on('data', (chunk: string) => complaints.push(chunk))
  // Node makes a socket pair of every extra pipe of a child, so it works in both directions.
  const qmp = openQmp(subprocess.stdio[3] as Duplex, options.onEvent)
  let over = false
  const ended = subprocess.then(({ exitCode, signal }) => {
    over = true
    removeWorkFolder(folder)
    return { exitCode, signal }
  })
  const kill = async () => {
    subprocess.kill('SIGKILL')
    await ended
  }
  try {
    await qmp.negotiate()
    const ports = machine.network ? await qmp.forwardedPorts() : new Map<number, number>()
    return { pid: subprocess.pid ?? 0, console, qmp, seconds, ports, ended, hasEnded: () => over, kill }
  } catch (cause) {
    await kill()
    throw new Error(`QEMU did not start: ${complaints.tail(10).join('\n') || String(cause)}`, { cause })
  }
}

/**
 * Presses the power button and waits for the guest to turn itself off.
 * @returns whether it did within `timeoutMs`; if not, it still runs
 */
export async function powerDown(running: RunningMachine, timeoutMs: number): Promise<boolean> {
  await running.qmp.execute('system_powerdown')
  const timer = Promise.withResolvers<null>()
  const timeout = setTimeout(() => timer.resolve(null), timeoutMs)
  const ending = await Promise.race([running.ended, timer.promise])
  clearTimeout(timeout)
  return ending?.exitCode === 0
}

/** The sandbox has the host's file system. Its processes see only each other, and end when this process ends. */
const SANDBOX = [
  '--die-with-parent',
  '--unshare-pid',
  ['--dev-bind', '/', '/'],
  ['--proc', '/proc'],
  '--',
].flat()
