// A process that stands still for longer than its lease: the next one delivers, and it does not deliver a second time.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startServer } from '../kit/server/server-process.ts'
import { startSmtpSink } from '../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail } from '../../mailkit/smtp-dialog.ts'

test('a process whose lease another has taken over sends no message when it goes on', async () => {
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<null>()
  let recipients = 0
  const sink = await startSmtpSink({
    rcpt: () => {
      // Only the first process has to wait for its answer.
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
  // Time for a message that is not held back to arrive.
  await sleep(1_000)
  assert.equal(sink.mail.length, 1)
  assert.equal(first.log.filter(({ event }) => event === 'lease-lost').length, 1)
  assert.equal(first.log.filter(({ event }) => event === 'delivered').length, 0)
  for (const instance of [first, second]) assert.equal(await instance.stop(), 0)
  await sink.close()
})
