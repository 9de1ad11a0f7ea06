// A process stops for longer than its lease: another process delivers, and the first does not deliver again.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startServer } from '../kit/server/server-process.ts'
import { startSmtpSink } from '../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail } from '../../mailkit/smtp-dialog.ts'

test('a stopped process whose lease another process has taken over sends no message when it continues', async () => {
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<null>()
  let recipients = 0
  const sink = await startSmtpSink({
    rcpt: () => {
      // The host delays its reply only to the first process.
      if (++recipients > 1) return null
      asked.resolve()
      return answer.promise
    },
  })
  const config = { delivery: { relay: { host: '127.0.0.1', port: sink.port }, leaseMs: 3_000 } }
  const first = await startServer({ config })
  const dialog = await openGreetedDialog(first.port)
  assert.match((await sendMail(dialog, { to: ['info@example.org'] })).at(-1) ?? '', /^250/)
  dialog.end()
  await asked.promise
  first.signal('SIGSTOP')
  const second = await startServer({ config: { ...config, queue: { path: `${first.folder}/spool` } } })
  await sink.received(1)
  await second.logged('delivered')
  answer.resolve(null)
  first.signal('SIGCONT')
  await first.logged('lease-lost')
  // Time for a second message to arrive, if the process sends one.
  await sleep(1_000)
  assert.equal(sink.mail.length, 1)
  assert.equal(first.log.filter(({ event }) => event === 'lease-lost').length, 1)
  assert.equal(first.log.filter(({ event }) => event === 'delivered').length, 0)
  for (const instance of [first, second]) assert.equal(await instance.stop(), 0)
  await sink.close()
})
