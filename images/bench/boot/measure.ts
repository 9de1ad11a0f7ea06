// Boots one machine and measures time and reads until its first forwarded message, or shows that it never serves.
// Owns the machine, which is the same for every image, and removes its folder.
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
  /** The disk image to boot. The guest's writes to it are discarded. */
  image: string
  /** Makes the machine's other disks in the given folder. */
  otherDisks: (folder: string) => Promise<QemuDisk[]>
  credentials?: Readonly<Record<string, string>>
}

export type MeasureOptions = {
  accel: Accel
  /** The mirror's port on the host's loopback. */
  mirrorPort: number
  workDir: string
  /** For one boot, from the firmware to the first forwarded message. */
  timeoutMs: number
  signal: AbortSignal
}

/** Seconds are the host's, from the start of QEMU. A block has 512 KiB and counts once, however often it is read. */
export type Measured = { secondsToFirstForward: number; bytesRead: number; blocksRead: number }

/**
 * Boots the image and sends one message through it.
 * @throws {Error} if the message is not forwarded in time, or arrives with wrong content.
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

/** cloud-init's last line on the console, after success and after failure. */
const CLOUD_INIT_FINISHED = /Cloud-init v\. \S+ finished at/

const GREETING_MS = 2_000

export type NeverServed = {
  served: false
  /** Seconds from the start until cloud-init finished. */
  secondsToGiveUp: number
  /** The console's failure messages. */
  reasons: string[]
}

/**
 * Boots the image and waits until cloud-init has finished. Then it tries port 25 for a greeting for `graceMs`.
 * @returns the console's failure messages, or that the guest served after all.
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

/** Boots a machine and runs `work` until it is done. A timeout, the end of the guest or the signal stops it. */
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
