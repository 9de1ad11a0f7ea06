// Boots one machine and measures the time and the reads until its first forwarded message, or shows that it never serves.
// Owns the machine, which is the same for every image, its folder and its end.
// Fails with the guest's last console lines.
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startMachine, TAIL_LINES, type RunningMachine } from '../../boot/qemu/machine.ts'
import type { Accel, QemuDisk, QemuMachine } from '../../boot/qemu/arguments.ts'
import { countBlocksRead } from '../../boot/qemu/read-trace.ts'
import { SMTP_PORT } from '../../../contract/ports.ts'
import { RELAY_FROM_GUEST } from '../../boot/server-credentials.ts'
import { greets, submitUntilAccepted } from '../../../mailkit/smtp-client.ts'
import { startSmtpSink, type ReceivedMessage } from '../../../mailkit/smtp-sink.ts'
import { ALIAS, forwardProblems, SENDER, testMessage } from '../../boot/test-message.ts'
import { makeWorkFolder, removeWorkFolder } from '../../boot/work-folder.ts'
import { MIRROR_FROM_GUEST } from './user-data.ts'

export type Subject = {
  /** A disk image that is booted from; what the guest writes to it is forgotten. */
  image: string
  /** Makes the machine's other disks in a folder of its own. */
  otherDisks: (folder: string) => Promise<QemuDisk[]>
  credentials?: Readonly<Record<string, string>>
}

export type MeasureOptions = {
  accel: Accel
  /** Port of the host's loopback that the guest reaches as its mirror. */
  mirrorPort: number
  workDir: string
  /** For one boot, firmware and all, until the first message is forwarded. */
  timeoutMs: number
  signal: AbortSignal
}

/** Seconds are the host's, from the start of QEMU. A block is one of 512 KiB that was read from at least once. */
export type Measured = { secondsToFirstForward: number; bytesRead: number; blocksRead: number }

/**
 * Boots it and sends one message through it.
 * @throws {Error} if the message is not forwarded in time, or comes out wrong.
 */
export async function measureBoot(subject: Subject, o: MeasureOptions): Promise<Measured> {
  return withMachine(subject, o, async ({ running, received, readTrace, signal }) => {
    const message = testMessage(randomUUID(), new Date())
    const port = running.ports.get(SMTP_PORT) ?? 0
    await submitUntilAccepted(port, { from: SENDER, to: [ALIAS], raw: message }, signal)
    const forwarded = await received
    const secondsToFirstForward = Math.round(running.seconds() * 100) / 100
    const { readBytes } = await running.qmp.blockStatistics('image')
    const blocksRead = countBlocksRead(readTrace)
    const problems = forwardProblems(message, forwarded)
    if (problems.length > 0) throw new Error(`the forwarded message is wrong: ${problems.join('; ')}`)
    return { secondsToFirstForward, bytesRead: readBytes, blocksRead }
  })
}

/** cloud-init's last word on the console, whether what it was told succeeded or not. */
const CLOUD_INIT_FINISHED = /Cloud-init v\. \S+ finished at/

const GREETING_MS = 2_000

export type NeverServed = {
  served: false
  /** When cloud-init had done what it could, seconds. */
  secondsToGiveUp: number
  /** What the console said went wrong. */
  reasons: string[]
}

/**
 * Boots it, waits until cloud-init says that it has finished, and then listens for a greeting on port 25 for `graceMs`.
 * @returns what the console said went wrong, or that it served after all.
 */
export async function watchFailure(
  subject: Subject,
  o: MeasureOptions & { graceMs: number; reason: RegExp },
): Promise<NeverServed | { served: true }> {
  return withMachine(subject, o, async ({ running, signal }) => {
    const said = (pattern: RegExp) => running.console.lines().filter(({ text }) => pattern.test(text))
    while (said(CLOUD_INIT_FINISHED).length === 0) await sleep(250, undefined, { signal })
    const secondsToGiveUp = Math.round(running.seconds())
    const deadline = performance.now() + o.graceMs
    while (performance.now() < deadline) {
      signal.throwIfAborted()
      if (await greets(running.ports.get(SMTP_PORT) ?? 0, GREETING_MS)) return { served: true }
      await sleep(250, undefined, { signal })
    }
    const reasons = [...new Set(said(o.reason).map(({ text }) => text.replace(/^\[[^\]]*\]\s*/, '')))]
    return { served: false, secondsToGiveUp, reasons }
  })
}

type Scene = {
  running: RunningMachine
  received: Promise<ReceivedMessage>
  readTrace: string
  signal: AbortSignal
}

/** Runs `work` beside a booting machine until it is done, the time is up, the guest ends, or the caller has had enough. */
async function withMachine<T>(
  subject: Subject,
  o: MeasureOptions,
  work: (scene: Scene) => Promise<T>,
): Promise<T> {
  o.signal.throwIfAborted()
  await using stack = new AsyncDisposableStack()
  const folder = makeWorkFolder(o.workDir)
  stack.defer(() => removeWorkFolder(folder))
  const { promise: received, resolve } = Promise.withResolvers<ReceivedMessage>()
  const sink = await startSmtpSink({ data: (message) => (resolve(message), null) })
  stack.defer(() => sink.close())
  const readTrace = join(folder, 'reads.log')
  const disks = [
    { name: 'image', file: subject.image, writable: false },
    ...(await subject.otherDisks(folder)),
  ]
  const machine = describe(disks, { ...o, ...subject, sinkPort: sink.port, readTrace })
  const running = await startMachine(machine, { workDir: folder })
  stack.defer(() => running.kill())
  const over = new AbortController()
  const overdue = setTimeout(
    () => over.abort(new Error(`not done after ${o.timeoutMs / 1000} s`)),
    o.timeoutMs,
  )
  stack.defer(() => clearTimeout(overdue))
  void running.ended.then(() => over.abort(new Error('the guest went down by itself')))
  const signal = AbortSignal.any([over.signal, o.signal])
  const stopped = Promise.withResolvers<never>()
  signal.addEventListener('abort', () => stopped.reject(signal.reason as Error), { once: true })
  try {
    return await Promise.race([work({ running, received, readTrace, signal }), stopped.promise])
  } catch (cause) {
    o.signal.throwIfAborted()
    const last = running.console.tail(TAIL_LINES).join('\n')
    throw new Error(`${(cause as Error).message}\nThe console's last lines:\n${last}`, { cause })
  }
}

function describe(
  disks: readonly QemuDisk[],
  o: MeasureOptions & Pick<Subject, 'credentials'> & { sinkPort: number; readTrace: string },
): QemuMachine {
  return {
    accel: o.accel,
    disks,
    network: {
      restrict: true,
      hostToGuest: [SMTP_PORT],
      guestToHost: [
        { ...RELAY_FROM_GUEST, hostPort: o.sinkPort },
        { ...MIRROR_FROM_GUEST, hostPort: o.mirrorPort },
      ],
    },
    ...(o.credentials === undefined ? {} : { credentials: o.credentials }),
    readTraceFile: o.readTrace,
  }
}
