// The boot test: an image, started with its network cut off, forwards a real message; only then does it get its
// receipt. Owns: the order of what is tried and asked, the time limit, and that nothing is left running or lying
// about. The image's bytes are never written. Fails with what was wrong and the guest's last console lines.
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { readManifest } from '../manifest.ts'
import type { Progress } from '../progress.ts'
import { chooseAccel, probeKvm } from './accel.ts'
import { findEvent } from './console.ts'
import { askGuest, FACTS_PORT, factsCredentials, unitsOfImage, type GuestFacts } from './guest-facts.ts'
import { cutProblem, openLiveListener, type LiveListener } from './network-cut.ts'
import { powerDown, startMachine, TAIL_LINES, type RunningMachine } from './qemu.ts'
import type { Accel, Machine } from './qemu-arguments.ts'
import { countBlocksRead } from './read-trace.ts'
import { writeReceipt, type Receipt } from './receipt.ts'
import { ADMIN_PORT, RELAY_FROM_GUEST, serverCredentials, SMTP_PORT } from './server-credentials.ts'
import { startSink, type Received } from './sink.ts'
import { makeSpoolDisk } from './spool-disk.ts'
import { submitUntilAccepted } from './submit.ts'
import { ALIAS, forwardProblems, SENDER, testMessage } from './test-message.ts'
import { makeWorkFolder, removeWorkFolder } from './work-folder.ts'

/** Emulated on two idle cores it takes about half a minute; eight times that on a busy machine. */
const TIMEOUT_MS = 240_000
/** The server's own bound for draining is 30 s here. */
const POWER_DOWN_MS = 90_000
/** An answer means starting Node and systemctl four times, emulated. */
const FACTS_MS = 60_000
/** Holds the queue of one message; takes up only what is written. */
const SPOOL_BYTES = 256 * 1024 * 1024

export type Image = {
  /** SHA-256 of the disk. */
  digest: string
  /** Where manifest.json is and receipt.json goes. */
  folder: string
  /** The raw disk. */
  disk: string
}

export type BootTestOptions = {
  /** For everything up to the forwarded message and the guest's facts; default 240 s. */
  timeoutMs?: number
  accel?: Accel | 'auto'
  cacheDir: string
  onProgress?: Progress
  signal?: AbortSignal
  /** false only where it is shown that the test notices a guest which is not cut off. */
  cutNetwork?: boolean
}

/**
 * Boots the image, forwards a message through it, and writes `receipt.json` into its folder.
 * @throws {Error} with what failed and the last console lines; then there is no new receipt.
 */
export async function bootTest(image: Image, options: BootTestOptions): Promise<Receipt> {
  const { onProgress = () => {}, cacheDir } = options
  const { locked } = readManifest(image.folder)
  const boots = join(cacheDir, 'boot')
  const accel = await chooseAccel(options.accel ?? 'auto', () => probeKvm(boots))
  onProgress(`booting ${image.digest.slice(0, 12)} (${accel})`)
  await using host = await prepareHost(boots)
  const machine = describeMachine(image, accel, host, options.cutNetwork ?? true)
  const running = await startMachine(machine, { workDir: host.folder })
  try {
    const seen = await whileItRuns(running, options, (signal) => examine(running, host, onProgress, signal))
    onProgress('pressing the power button')
    const cleanShutdown = await turnedItselfOff(running, options.signal)
    onProgress('it turned itself off')
    const receipt: Receipt = {
      ...{ version: 1, digest: image.digest, createdAt: new Date().toISOString(), accel, locked },
      ...{ ...seen, networkCut: true, volatileSpool: false, cleanShutdown },
    }
    writeReceipt(join(image.folder, 'receipt.json'), receipt)
    return receipt
  } finally {
    await running.kill()
  }
}

/**
 * A cloud ends an instance by its power button: one that does not drain and turn itself off loses its place in line.
 * @throws {Error} with the console's last lines if it does not, or the caller has had enough.
 */
async function turnedItselfOff(running: RunningMachine, signal: AbortSignal | undefined): Promise<true> {
  const cut = () => void running.kill()
  signal?.addEventListener('abort', cut, { once: true })
  if (signal?.aborted) cut()
  const clean = await powerDown(running, POWER_DOWN_MS)
  signal?.removeEventListener('abort', cut)
  signal?.throwIfAborted()
  if (clean) return true
  const what = `boot test failed: not off ${POWER_DOWN_MS / 1000} s after its power button was pressed`
  throw new Error(`${what}\n${lastWords(running)}`)
}

function lastWords({ console }: RunningMachine): string {
  const last = console.tail(TAIL_LINES)
  return last.length === 0 ? 'The console said nothing.' : `The console's last lines:\n${last.join('\n')}`
}

type Host = {
  folder: string
  spool: string
  readTrace: string
  live: LiveListener
  sinkPort: number
  /** The next message that arrives at the sink, or the first that has. */
  forwarded: Promise<Received>
}

/** What the test needs outside the guest; all of it goes away again. */
async function prepareHost(boots: string): Promise<Host & AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const folder = makeWorkFolder(boots)
  stack.defer(() => removeWorkFolder(folder))
  const spool = join(folder, 'spool.raw')
  await makeSpoolDisk(spool, SPOOL_BYTES)
  const { promise: forwarded, resolve } = Promise.withResolvers<Received>()
  const sink = await startSink(resolve)
  stack.defer(() => sink.close())
  const live = await openLiveListener()
  stack.defer(() => live.close())
  const cleanUp = stack.move()
  return {
    ...{ folder, spool, readTrace: join(folder, 'reads.log'), live, sinkPort: sink.port, forwarded },
    [Symbol.asyncDispose]: () => cleanUp.disposeAsync(),
  }
}

function describeMachine(image: Image, accel: Accel, host: Host, restrict: boolean): Machine {
  return {
    accel,
    disks: [
      { name: 'image', file: image.disk, writable: false },
      { name: 'spool', file: host.spool, writable: true },
    ],
    network: {
      restrict,
      hostToGuest: [SMTP_PORT, ADMIN_PORT, FACTS_PORT],
      guestToHost: [{ ...RELAY_FROM_GUEST, hostPort: host.sinkPort }],
    },
    credentials: { ...serverCredentials(), ...factsCredentials() },
    readTraceFile: host.readTrace,
  }
}

type Seen = Omit<
  Receipt,
  'version' | 'digest' | 'createdAt' | 'accel' | 'locked' | 'networkCut' | 'volatileSpool' | 'cleanShutdown'
>

async function examine(
  running: RunningMachine,
  host: Host,
  onProgress: Progress,
  signal: AbortSignal,
): Promise<Seen> {
  const port = (guest: number) => running.ports.get(guest) ?? 0
  const message = testMessage(randomUUID(), new Date())
  await submitUntilAccepted(port(SMTP_PORT), { from: SENDER, to: ALIAS }, message, signal)
  onProgress(`accepted a message after ${running.seconds().toFixed(1)} s`)
  const received = await host.forwarded
  const secondsToFirstForward = round(running.seconds())
  onProgress(`forwarded it after ${secondsToFirstForward} s`)
  const { readBytes } = await running.qmp.blockStatistics('image')
  const blocksRead = countBlocksRead(host.readTrace)
  refuse(forwardProblems(message, received).map((problem) => `the forwarded message is wrong: ${problem}`))
  refuse(await adminProblems(port(ADMIN_PORT), signal))
  const facts = await askGuest(port(FACTS_PORT), [RELAY_FROM_GUEST, host.live.address], FACTS_MS)
  const askedAt = running.seconds()
  const verdict = { allowed: RELAY_FROM_GUEST, forbidden: host.live.address, reached: host.live.reached() }
  const uncut = cutProblem(facts, verdict)
  refuse(uncut === null ? [] : [uncut])
  const units = unitsOfImage(facts)
  refuse(units.failed.map((unit) => `the unit ${unit} failed`))
  return {
    ...{ secondsToFirstForward, bytesRead: readBytes, blocksRead },
    ...stages(running, facts, askedAt),
    ports: facts.ports.filter((number) => number !== FACTS_PORT),
    units,
    nodeVersion: facts.nodeVersion,
    kernel: facts.kernel,
  }
}

/** Moments on the host's clock, in seconds since QEMU was started; the guest counts from its kernel's start. */
function stages({ console }: RunningMachine, { times }: GuestFacts, askedAt: number) {
  const kernel = Math.max(0, askedAt - times.now)
  const listening = findEvent(console.lines(), 'listening')
  return {
    secondsToKernel: round(kernel),
    secondsToUserspace: round(kernel + times.userspace),
    secondsToServerStart: round(kernel + times.server),
    ...(listening === null ? {} : { secondsToListening: round(listening.atSeconds) }),
  }
}

const round = (seconds: number) => Math.round(seconds * 100) / 100

/** What the guest's admin port says that a healthy server would not. */
async function adminProblems(port: number, signal: AbortSignal): Promise<string[]> {
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal })
    return { status: response.status, text: await response.text() }
  }
  const problems: string[] = []
  for (const path of ['/healthz', '/readyz']) {
    const { status, text } = await get(path)
    if (status !== 200) problems.push(`${path} answers ${status}: ${text.slice(0, 200)}`)
  }
  const { text } = await get('/metrics')
  if (!/^mailfleet_messages_accepted_total(\{[^}]*\})? 1$/m.test(text)) {
    problems.push('/metrics does not count one accepted message')
  }
  return problems
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw new Error(problems.join('\n'))
}

/** Runs `work` until it is done, the time is up, the guest ends by itself, or the caller has had enough. */
async function whileItRuns<T>(
  running: RunningMachine,
  { timeoutMs = TIMEOUT_MS, signal: given }: BootTestOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController()
  const overdue = setTimeout(() => over.abort(new Error(`not done after ${timeoutMs / 1000} s`)), timeoutMs)
  const signal = given ? AbortSignal.any([over.signal, given]) : over.signal
  signal.throwIfAborted()
  const stopped = Promise.withResolvers<never>()
  signal.addEventListener('abort', () => stopped.reject(signal.reason as Error), { once: true })
  void running.ended.then(({ exitCode }) =>
    over.abort(new Error(`the guest went down by itself (${exitCode})`)),
  )
  try {
    return await Promise.race([work(signal), stopped.promise])
  } catch (cause) {
    throw new Error(`boot test failed: ${(cause as Error).message}\n${lastWords(running)}`, { cause })
  } finally {
    clearTimeout(overdue)
  }
}
