// In the real image, an instance with a read-only spool disk at boot stays up and refuses mail with a 4xx code.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { chooseAccel, probeKvm } from '../../images/boot/qemu/acceleration.ts'
import { DEFAULT_BOUNDS } from '../../images/boot/boot-bound.ts'
import { startMachine } from '../../images/boot/qemu/machine.ts'
import { SMTP_PORT } from '../../contract/ports.ts'
import { GUEST_REPLY_MS, sendOnce } from '../../mailkit/smtp-client.ts'
import { describeMachine, prepareHost } from '../../images/boot/test-host.ts'
import { ALIAS, SENDER, testMessage } from '../../images/boot/test-message.ts'
import { whileItRuns } from '../../images/boot/watch.ts'
import { folderFor } from '../kit/queue/embedded-harness.ts'
import { newestImage } from '../kit/images/baked.ts'

const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`

/** Boots the image with a new spool disk that a debugfs command has changed. */
async function bootWith(t: TestContext, change: string) {
  const image = await newestImage()
  const workDir = folderFor(t)
  const host = await prepareHost(workDir)
  t.after(() => host[Symbol.asyncDispose]())
  rmSync(host.spool)
  const argv = ['-q', '-t', 'ext4', '-L', 'mailfleet-spool', host.spool, '32M']
  await execa('mke2fs', argv, { env: { PATH } })
  await execa('debugfs', ['-w', '-R', change, host.spool], { env: { PATH } })
  const accel = await chooseAccel('auto', () => probeKvm(workDir))
  const machine = describeMachine({ disk: image.disk, architecture: 'amd64' }, accel, host, true)
  const running = await startMachine(machine, { workDir })
  t.after(() => running.kill())
  return { running, port: running.ports.get(SMTP_PORT) ?? 0 }
}

/** Waits for the guest's greeting and returns the code with which it refuses a message. */
async function refusal(port: number, signal: AbortSignal): Promise<number> {
  for (;;) {
    signal.throwIfAborted()
    const mail = { from: SENDER, to: [ALIAS], raw: testMessage(randomUUID(), new Date()) }
    const result = await sendOnce({ port, greetingMs: 2_000, replyMs: GUEST_REPLY_MS }, mail)
    if (result.kind === 'refused') return result.code
    if (result.kind === 'lost') {
      await sleep(200)
      continue
    }
    throw new Error('the guest took the message')
  }
}

test('an image whose spool is read-only at boot stays on and refuses mail for now', async (t) => {
  // No kernel knows this read-only-compatible feature, so the kernel refuses to mount the disk for writing.
  const { running, port } = await bootWith(t, 'feature FEATURE_R31')
  await whileItRuns(running, DEFAULT_BOUNDS, async (signal) => {
    assert.match(String(await refusal(port, signal)), /^4/)
    // Five failures of the unit would take less time than this.
    await sleep(15_000)
    assert.match(String(await refusal(port, signal)), /^4/)
  })
})
