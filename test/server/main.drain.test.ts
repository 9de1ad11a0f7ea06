// Draining: no connection is reset, work in progress finishes, and all other entries stay in the queue.
import assert from 'node:assert/strict'
import { readdirSync, readlinkSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { bindListeningSocket } from '../../infra/local/listening-socket.ts'
import { spawnServer, startServer, testFolder, type ServerProcess } from '../kit/server/server-process.ts'
import { startSmtpSink } from '../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail, openDialog } from '../../mailkit/smtp-dialog.ts'

/** Waits until one delivery is in progress. */
async function inProgress(instance: ServerProcess): Promise<void> {
  while ((await instance.metric('mailfleet_deliveries_in_progress')) !== 1) await sleep(10)
}

test('idle sessions get 421; a transaction in progress gets its 250; then the process exits with 0', async () => {
  const sink = await startSmtpSink()
  const instance = await startServer({
    config: { delivery: { relay: { host: '127.0.0.1', port: sink.port } } },
  })
  const idle = await openGreetedDialog(instance.port)
  const fresh = await openDialog(instance.port)
  await fresh.reply()
  const busy = await openGreetedDialog(instance.port)
  await busy.say('MAIL FROM:<a@sender.example>')
  await busy.say('RCPT TO:<info@example.org>')
  await busy.say('DATA')
  busy.write('Subject: in progress\r\n\r\nfirst half\r\n')
  instance.signal('SIGTERM')
  for (const dialog of [idle, fresh]) {
    assert.match((await dialog.reply()) ?? '', /^421 4\.3\.2/)
    assert.equal(await dialog.line(), null)
    // The server reads and ignores further input, so that the connection is not reset.
    dialog.write('MAIL FROM:<late@sender.example>\r\n')
    dialog.end()
  }
  assert.equal((await instance.admin('/readyz')).status, 503)
  assert.equal((await instance.admin('/healthz')).status, 200)
  busy.write('second half\r\n.\r\n')
  assert.match((await busy.reply()) ?? '', /^250 2\.0\.0 queued as /)
  assert.match((await busy.reply()) ?? '', /^421 /)
  assert.equal(await busy.line(), null)
  busy.end()
  assert.equal(await instance.exited(), 0)
  for (const dialog of [idle, fresh, busy]) assert.equal(dialog.failure(), null)
  await sink.close()
})

test('a new transaction during the drain gets 421; a transaction before DATA may finish', async () => {
  const instance = await startServer({ config: { delivery: { relay: { host: '127.0.0.1', port: 1 } } } })
  const early = await openGreetedDialog(instance.port)
  await early.say('MAIL FROM:<a@sender.example>')
  instance.signal('SIGTERM')
  await instance.logged('draining')
  assert.match((await early.say('RCPT TO:<info@example.org>')) ?? '', /^250/)
  assert.match((await early.say('RSET')) ?? '', /^250/)
  assert.match((await early.reply()) ?? '', /^421 /)
  early.end()
  assert.equal(await instance.exited(), 0)
})

test('deliveries in progress finish; other entries stay due for other processes', async () => {
  let release = () => {}
  const gate = new Promise<null>((resolve) => {
    release = () => resolve(null)
  })
  const slow = await startSmtpSink({ data: () => gate })
  const folder = testFolder()
  const queue = { path: `${folder}/spool`, volatile: true }
  const config = { queue, delivery: { concurrency: 1, relay: { host: '127.0.0.1', port: slow.port } } }
  const instance = await startServer({ config })
  const dialog = await openGreetedDialog(instance.port)
  for (let sent = 0; sent < 3; sent++) await sendMail(dialog, { to: ['info@example.org'] })
  dialog.end()
  await inProgress(instance)
  instance.signal('SIGTERM')
  await instance.logged('draining')
  instance.signal('SIGTERM')
  instance.signal('SIGINT')
  await instance.logged('still-draining')
  release()
  assert.equal(await instance.exited(), 0)
  assert.equal(slow.mail.length, 1)
  const other = await startServer({ config })
  await slow.received(3)
  assert.equal(await other.stop(), 0)
  assert.equal(slow.mail.length, 3)
  await slow.close()
})

test('a client and a next host that never finish do not delay the exit beyond the drain timeout', async () => {
  const sink = await startSmtpSink({ data: () => new Promise<null>(() => {}) })
  const config = { drain: { timeoutMs: 1_000 }, delivery: { relay: { host: '127.0.0.1', port: sink.port } } }
  const instance = await startServer({ config })
  const dialog = await openGreetedDialog(instance.port)
  await sendMail(dialog, { to: ['info@example.org'] })
  await inProgress(instance)
  await dialog.say('MAIL FROM:<a@sender.example>')
  instance.signal('SIGTERM')
  assert.match((await dialog.reply()) ?? '', /^421 /)
  assert.equal(await instance.exited(), 0)
  assert.equal((await instance.logged('deliveries-cut'))['count'], 1)
  dialog.end()
  await sink.close()
})

test('an inherited socket: servers start and stop, and no connection is reset', async () => {
  const sink = await startSmtpSink()
  const shared = bindListeningSocket('127.0.0.1', 0)
  const folder = testFolder()
  const queue = { path: `${folder}/spool`, volatile: true }
  const config = {
    queue,
    delivery: { relay: { host: '127.0.0.1', port: sink.port } },
  }
  let current = await startServer({ config, listenFd: shared.fd })
  const results: string[] = []
  const failures: unknown[] = []
  let sending = true
  const sender = async (): Promise<void> => {
    while (sending) {
      const dialog = await openDialog(shared.port)
      const greeting = await dialog.reply()
      if (greeting?.startsWith('220') === true) {
        await dialog.say('EHLO client.example')
        results.push((await sendMail(dialog, { to: ['info@example.org'] })).at(-1) ?? 'closed')
        await dialog.say('QUIT')
      }
      if (dialog.failure() !== null) failures.push(dialog.failure())
      dialog.end()
    }
  }
  const senders = [sender(), sender(), sender()]
  for (let round = 0; round < 2; round++) {
    const next = await startServer({ config, listenFd: shared.fd })
    assert.equal(await current.stop(), 0)
    current = next
  }
  sending = false
  await Promise.all(senders)
  const accepted = results.filter((reply) => reply.startsWith('250')).length
  await sink.received(accepted)
  assert.equal(await current.stop(), 0)
  assert.deepEqual(failures, [])
  assert.ok(accepted > 10, `${accepted} accepted`)
  await shared.close()
  await sink.close()
})

test('clients in the accept queue get 421 at a drain; no connection is reset', async () => {
  const instance = await startServer({ config: { limits: { connectionsPerClient: 1_000 } } })
  instance.signal('SIGSTOP')
  const waiting = await Promise.all(Array.from({ length: 300 }, () => openDialog(instance.port)))
  instance.signal('SIGTERM')
  instance.signal('SIGCONT')
  const heard = await Promise.all(waiting.map((dialog) => dialog.reply()))
  assert.deepEqual(
    heard.filter((reply) => reply?.startsWith('421 ') !== true),
    [],
  )
  for (const dialog of waiting) dialog.end()
  assert.equal(await instance.exited(), 0)
})

test('a signal during start-up ends the process with 0', async () => {
  const sink = await startSmtpSink()
  const folder = testFolder()
  const config = { delivery: { relay: { host: '127.0.0.1', port: sink.port } } }
  assert.equal(await (await startServer({ folder, config })).stop(), 0)
  const child = spawnServer(`${folder}/config.json`)
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  let output = ''
  child.stdout!.on('data', (chunk: Buffer) => (output += chunk.toString()))
  // Wait until the server has opened its spool. Before its own code runs, a signal ends Node itself.
  while (!openFiles(child.pid!).some((file) => file.endsWith('.mdb'))) await sleep(2)
  child.kill('SIGTERM')
  assert.equal(await ended, 0)
  assert.match(output, /"event":"drained"/)
  await sink.close()
})

function openFiles(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
      } catch {
        return []
      }
    })
  } catch {
    return []
  }
}
