// In the real image, systemd restarts a server that hangs. It shuts the instance down after repeated crashes.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { chooseAccel, probeKvm } from '../../images/boot/qemu/acceleration.ts'
import { DEFAULT_BOUNDS } from '../../images/boot/boot-bound.ts'
import { startMachine } from '../../images/boot/qemu/machine.ts'
import { describeMachine, prepareHost } from '../../images/boot/test-host.ts'
import { whileItRuns } from '../../images/boot/watch.ts'
import { folderFor } from '../kit/queue/embedded-harness.ts'
import { newestImage } from '../kit/images/baked.ts'

/** Boots the image with an extra unit that runs `script` beside the server. */
async function bootWith(t: TestContext, script: string, more: Record<string, string> = {}) {
  const image = await newestImage()
  const workDir = folderFor(t)
  const host = await prepareHost(workDir)
  t.after(() => host[Symbol.asyncDispose]())
  const accel = await chooseAccel('auto', () => probeKvm(workDir))
  const machine = describeMachine({ disk: image.disk, architecture: 'amd64' }, accel, host, true)
  const credentials = {
    ...machine.credentials,
    'systemd.extra-unit.trouble.service': [
      '[Unit]',
      'After=mailfleet.service',
      '[Service]',
      'StandardOutput=journal+console',
      `ExecStart=/usr/bin/sh -c '${script}'`,
      '',
    ].join('\n'),
    'systemd.unit-dropin.multi-user.target': '[Unit]\nWants=trouble.service\n',
    ...more,
  }
  const running = await startMachine({ ...machine, credentials }, { workDir })
  t.after(() => running.kill())
  return running
}

const starts = (lines: readonly { text: string }[]) =>
  lines.filter(({ text }) => text.includes('"event":"listening"')).length

const untilListening = async (running: Awaited<ReturnType<typeof bootWith>>, times: number) => {
  await whileItRuns(running, DEFAULT_BOUNDS, async (signal) => {
    while (starts(running.console.lines()) < times) {
      signal.throwIfAborted()
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
  })
}

test('a server that stands still is aborted by the watchdog, and started again', async (t) => {
  // The script stops the server after 60 s. Until then the server's reports satisfy the 30 s watchdog.
  const script =
    'sleep 60; systemctl kill --kill-whom=main --signal=SIGSTOP mailfleet.service; sleep infinity'
  const running = await bootWith(t, script, {
    'systemd.unit-dropin.mailfleet.service': '[Service]\nWatchdogSec=30\n',
  })
  await untilListening(running, 2)
  const text = running.console
    .lines()
    .map((line) => line.text)
    .join('\n')
  assert.equal(starts(running.console.lines()), 2)
  assert.match(text, /Watchdog timeout|watchdog/i)
})

test('a server that crashes five times within a minute ends its instance', async (t) => {
  const script =
    'while :; do systemctl kill --kill-whom=main --signal=SIGKILL mailfleet.service; sleep 1; done'
  const running = await bootWith(t, script)
  const { exitCode } = await running.ended
  assert.equal(exitCode, 0)
})
