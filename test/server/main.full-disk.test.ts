// A full disk under the spool: senders get 452, accepted mail is delivered, and that makes room again.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startServer, testFolder } from '../kit/server/server-process.ts'
import { startSmtpSink } from '../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail } from '../../mailkit/smtp-dialog.ts'

const DISK_BYTES = 8_388_608

const BODY = `${'x'.repeat(998)}\r\n`.repeat(60)

test('a full disk: 452, no loss and no crash; with room again, mail is accepted', async () => {
  const folder = testFolder()
  const spool = join(folder, 'spool')
  mkdirSync(spool)
  const { port } = await startSmtpSink().then(async (sink) => {
    await sink.close()
    return sink
  })
  const instance = await startServer({
    folder,
    config: {
      queue: { path: spool },
      retry: { firstMs: 300, maxMs: 300, jitter: 0 },
      delivery: { relay: { host: '127.0.0.1', port } },
    },
    within: [
      'bwrap',
      '--die-with-parent',
      '--dev-bind',
      '/',
      '/',
      '--size',
      String(DISK_BYTES),
      '--tmpfs',
      spool,
      '--',
    ],
  })
  const dialog = await openGreetedDialog(instance.port)
  const accepted = new Set<string>()
  let refused = 0
  for (let sent = 0; sent < 200 && refused < 5; sent++) {
    const message = `Subject: number ${sent}\r\n\r\n${BODY}`
    const last = (await sendMail(dialog, { to: ['info@example.org'], message })).at(-1) ?? ''
    if (last.startsWith('250')) accepted.add(`number ${sent}`)
    else {
      assert.match(last, /^452 4\.3\.1/)
      refused++
    }
  }
  assert.equal(refused, 5)
  assert.ok(((await instance.metric('mailfleet_refused_total{reason="queue-full"}')) ?? 0) >= 5)
  assert.equal((await instance.admin('/healthz')).status, 200)
  const sink = await startSmtpSink({ port })
  const mail = await sink.received(accepted.size)
  const arrived = new Set(
    mail.map(({ text: message }) => /^Subject: (.*)$/m.exec(message)?.[1]?.trim() ?? ''),
  )
  assert.deepEqual(
    [...accepted].filter((subject) => !arrived.has(subject)),
    [],
  )
  // The queue removes a message shortly after its delivery.
  while ((await sendMail(dialog, { to: ['info@example.org'] })).at(-1)?.startsWith('250') !== true)
    await sleep(20)
  await sink.received(accepted.size + 1)
  dialog.end()
  assert.equal(await instance.stop(), 0)
  await sink.close()
})
