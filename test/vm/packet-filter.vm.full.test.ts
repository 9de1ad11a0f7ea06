// The image's packet filter lets port 25 in and drops a listening port that is not among the services.
// The same unit answers the boot test, which adds its port to the services.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { chooseAccel, probeKvm } from '../../images/boot/qemu/acceleration.ts'
import { findEvent } from '../../images/boot/qemu/console.ts'
import { askGuest, FACTS_PORT, factsCredentials } from '../../images/boot/guest-facts.ts'
import { startMachine, TAIL_LINES } from '../../images/boot/qemu/machine.ts'
import { SMTP_PORT } from '../../contract/ports.ts'
import { serverCredentials } from '../../images/boot/server-credentials.ts'
import { folderFor } from '../kit/queue/embedded-harness.ts'
import { newestImage } from '../kit/images/baked.ts'

/** For an emulated boot on a busy machine. */
const LISTENING_MS = 240_000
const SILENCE_MS = 20_000
const SOCKET = 'systemd.extra-unit.boot-test.socket'

test('port 25 is let in, and a listener whose port is not among the services is not', async (t) => {
  const image = await newestImage()
  const accel = await chooseAccel('auto', () => probeKvm(join(folderFor(t), 'kvm')))
  const credentials = { ...serverCredentials({ queue: { volatile: true } }), ...factsCredentials() }
  const opened = credentials[SOCKET] ?? ''
  const closed = opened.replace(/^ExecStartPre=.*nft add.*\n/m, '')
  assert.notEqual(closed, opened)
  const machine = await startMachine(
    {
      accel,
      disks: [{ name: 'image', file: image.disk, writable: false }],
      network: { restrict: true, hostToGuest: [SMTP_PORT, FACTS_PORT], guestToHost: [] },
      credentials: { ...credentials, [SOCKET]: closed },
    },
    { workDir: folderFor(t) },
  )
  t.after(() => machine.kill())
  const port = (guest: number) => machine.ports.get(guest) ?? 0
  let greeting = ''
  for (
    const end = Date.now() + LISTENING_MS;
    Date.now() < end && !greeting.startsWith('220');
    await sleep(500)
  ) {
    if (findEvent(machine.console.lines(), 'listening')) greeting = await said(port(SMTP_PORT))
  }
  assert.match(greeting, /^220 /, machine.console.tail(TAIL_LINES).join('\n'))
  await assert.rejects(askGuest(port(FACTS_PORT), [], SILENCE_MS))
})

/** Returns the port's output until QUIT ends the session, or '' if the port does not answer. */
async function said(port: number): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port }).setTimeout(SILENCE_MS)
  socket.on('timeout', () => socket.destroy())
  socket.once('data', () => socket.write('QUIT\r\n'))
  return text(socket).catch(() => '')
}
