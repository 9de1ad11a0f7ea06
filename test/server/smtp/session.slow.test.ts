// Clients that are slow on purpose: each byte comes before the idle timeout, but no message does.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../../kit/server/server-process.ts'
import { openGreetedDialog, sendMail, openDialog } from '../../../mailkit/smtp-dialog.ts'

/** @returns the last line before the server closes */
async function lastLine(dialog: Awaited<ReturnType<typeof openDialog>>): Promise<string | null> {
  let last = null
  for (let line = await dialog.line(); line !== null; line = await dialog.line()) last = line
  return last
}

test('a session without a message ends, however busy it is', { timeout: 120_000 }, async () => {
  const instance = await startServer({ config: { limits: { commandsMs: 1_000, idleMs: 60_000 } } })
  for (const [open, written] of [
    [openDialog, 'x'],
    [openGreetedDialog, 'NOOP\r\n'],
    [openGreetedDialog, 'MAIL FROM:<a@b.example>\r\nRSET\r\n'],
  ] as const) {
    const dialog = await open(instance.port)
    const tooLong = Promise.withResolvers<string>()
    let writes = 0
    // 1,000 writes take 20 s at least.
    const trickle = setInterval(() => {
      if (++writes > 1_000) tooLong.resolve('still open')
      else dialog.write(written)
    }, 20)
    const last = await Promise.race([lastLine(dialog), tooLong.promise])
    clearInterval(trickle)
    assert.equal(last, '421 4.4.2 No message for too long')
    dialog.end()
  }
  await instance.stop()
})

test(
  'a session with messages stays longer than the timeout of a session without',
  { timeout: 60_000 },
  async () => {
    const instance = await startServer({
      config: { limits: { commandsMs: 1_000 }, delivery: { relay: { host: '127.0.0.1', port: 1 } } },
    })
    const dialog = await openGreetedDialog(instance.port)
    const endMs = Date.now() + 2_500
    while (Date.now() < endMs) {
      const replies = await sendMail(dialog, { to: ['info@example.org'] })
      assert.match(replies.at(-1) ?? '(closed)', /^250 /)
    }
    dialog.end()
    await instance.stop()
  },
)
