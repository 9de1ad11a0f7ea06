// A full connection table: silent clients are ended early and are no demand; clients with mail stay.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startServer } from '../../kit/server/server-process.ts'
import { openGreetedDialog, sendMail, openDialog, type SmtpDialog } from '../../../mailkit/smtp-dialog.ts'

const CONNECTIONS = 10

const config = (limits: object) => ({
  limits: { connections: CONNECTIONS, ...limits },
  delivery: { relay: { host: '127.0.0.1', port: 1 } },
})

async function open(port: number, count: number): Promise<SmtpDialog[]> {
  return Promise.all(Array.from({ length: count }, () => openGreetedDialog(port)))
}

/** Far more than a test needs, so that a session that never ends fails the test. */
const TRIES = 200
const PAUSE_MS = 50

/** Connects until the server accepts a session. */
async function admitted(port: number): Promise<SmtpDialog> {
  for (let tries = 0; tries < TRIES; tries++) {
    const dialog = await openDialog(port)
    const greeting = await dialog.reply()
    if (greeting?.startsWith('220') === true) return dialog
    dialog.end()
    await sleep(PAUSE_MS)
  }
  assert.fail(`no session within ${TRIES} tries`)
}

test(
  'with a full table silent clients get 421 early, and a client with a message is accepted',
  { timeout: 60_000 },
  async () => {
    const instance = await startServer({ config: config({ fullIdleMs: 200, idleMs: 3_600_000 }) })
    const silent = await open(instance.port, CONNECTIONS)
    const dialog = await admitted(instance.port)
    await dialog.say('EHLO client.example')
    assert.match((await sendMail(dialog, { to: ['info@example.org'] })).at(-1) ?? '', /^250 /)
    assert.equal(await silent[0]!.reply(), '421 4.3.2 Too many connections to wait for a message')
    assert.equal(await silent[0]!.line(), null)
    assert.equal(silent[0]!.failure(), null)
    await instance.logged('connections-full')
    for (const each of [dialog, ...silent]) each.end()
    assert.equal(await instance.stop(), 0)
  },
)

test('a busy client without a message is ended as well', { timeout: 60_000 }, async () => {
  const instance = await startServer({ config: config({ fullIdleMs: 10_000, fullCommandsMs: 500 }) })
  const busy = await open(instance.port, CONNECTIONS)
  const chatter = setInterval(() => busy[0]!.write('NOOP\r\n'), PAUSE_MS)
  let last: string | null = null
  for (let lines = 0; lines < TRIES; lines++) {
    const line = await busy[0]!.line()
    if (line === null) break
    last = line
  }
  clearInterval(chatter)
  assert.equal(last, '421 4.3.2 Too many connections to wait for a message')
  for (const each of busy) each.end()
  assert.equal(await instance.stop(), 0)
})

test(
  'with a full table a message that stalls is aborted, and a message that continues arrives',
  { timeout: 60_000 },
  async () => {
    const instance = await startServer({ config: config({ fullIdleMs: 1_000, fullCommandsMs: 1_500 }) })
    const talks = await open(instance.port, CONNECTIONS)
    const [stalls, goesOn] = talks as [SmtpDialog, SmtpDialog]
    for (const dialog of [stalls, goesOn]) {
      await dialog.say('MAIL FROM:<a@sender.example>')
      await dialog.say('RCPT TO:<info@example.org>')
      assert.match((await dialog.say('DATA')) ?? '', /^354/)
    }
    const more = setInterval(() => goesOn.write('a line\r\n'), 50)
    assert.match((await stalls.reply()) ?? '', /^421 4\.4\.2/)
    clearInterval(more)
    assert.match((await goesOn.say('.')) ?? '', /^250 /)
    for (const dialog of talks) dialog.end()
    assert.equal(await instance.stop(), 0)
  },
)

test('with room in the table a silent client stays', { timeout: 60_000 }, async () => {
  const instance = await startServer({ config: config({ fullIdleMs: 100, fullCommandsMs: 100 }) })
  const [first] = await open(instance.port, CONNECTIONS - 1)
  await new Promise((resolve) => setTimeout(resolve, 500))
  assert.match((await first!.say('NOOP')) ?? '', /^250 /)
  first!.end()
  assert.equal(await instance.stop(), 0)
})
