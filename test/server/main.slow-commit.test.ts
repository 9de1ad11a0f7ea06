// A process holds the queue's write lock: other processes answer 451 in time, report it, and recover afterwards.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startServer } from '../kit/server/server-process.ts'
import { startSmtpSink } from '../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail } from '../../mailkit/smtp-dialog.ts'

test('a blocked commit gives 451, is unhealthy and counted, and the message is not delivered later', async (t) => {
  const sink = await startSmtpSink()
  const instance = await startServer({
    config: { delivery: { relay: { host: '127.0.0.1', port: sink.port } } },
  })
  const dialog = await openGreetedDialog(instance.port)
  const program = join(import.meta.dirname, '../kit/queue/one-process.ts')
  const holder = spawn(process.execPath, [program, join(instance.folder, 'spool'), 'hold'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => holder.kill('SIGKILL'))
  await once(holder.stdout, 'data')
  holder.kill('SIGSTOP')
  const message = 'Subject: in vain\r\n\r\nx\r\n'
  assert.match((await sendMail(dialog, { to: ['info@example.org'], message })).at(-1) ?? '', /^451 4\.3\.0/)
  assert.match(await (await instance.admin('/healthz')).text(), /^a commit has been under way for \d+ s/)
  assert.equal((await instance.admin('/healthz')).status, 503)
  assert.equal(await instance.metric('mailfleet_slow_commits_total'), 1)
  assert.equal(await instance.metric('mailfleet_queue_problem{reason="slow-commit"}'), 1)
  holder.kill('SIGKILL')
  while ((await instance.admin('/healthz')).status !== 200) await sleep(50)
  assert.match((await sendMail(dialog, { to: ['info@example.org'] })).at(-1) ?? '', /^250/)
  await sink.received(1)
  await sleep(500)
  assert.deepEqual(
    sink.mail.filter(({ text: text }) => text.includes('in vain')),
    [],
  )
  assert.ok(((await instance.metric('mailfleet_queue_lock_wait_seconds_sum')) ?? 0) >= 5)
  dialog.end()
  assert.equal(await instance.stop(), 0)
  await sink.close()
})
