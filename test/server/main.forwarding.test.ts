// Forwarding through a real server to a real next host: retries, results and DSNs.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer, testFolder, type ServerProcessOptions } from '../kit/server/server-process.ts'
import { startSmtpSink, type SmtpReply } from '../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail } from '../../mailkit/smtp-dialog.ts'

const RETRY = { firstMs: 50, maxMs: 200, jitter: 0 }

function throughRelay(port: number, over: object = {}): NonNullable<ServerProcessOptions['config']> {
  return { retry: RETRY, delivery: { relay: { host: '127.0.0.1', port } }, ...over }
}

async function send(port: number, message: Parameters<typeof sendMail>[1]): Promise<string> {
  const dialog = await openGreetedDialog(port)
  const last = (await sendMail(dialog, message)).at(-1) ?? ''
  dialog.end()
  return last
}

test('the next host is down: the message is deferred, and delivered when it is back', async () => {
  const sink = await startSmtpSink()
  const { port } = sink
  await sink.close()
  const instance = await startServer({ config: throughRelay(port) })
  assert.match(await send(instance.port, { to: ['info@example.org'] }), /^250 2\.0\.0/)
  const deferral = await instance.logged('deferred')
  assert.equal(deferral['why'], 'connect')
  assert.match(String(deferral['until']), /^\d{4}-/)
  const again = await startSmtpSink({ port })
  const [mail] = await again.received(1)
  assert.deepEqual(mail?.to, ['a@b.example'])
  await instance.logged('delivered')
  assert.ok(((await instance.metric('mailfleet_deliveries_total{result="deferred"}')) ?? 0) >= 1)
  assert.equal(await instance.metric('mailfleet_deliveries_total{result="delivered"}'), 1)
  assert.equal(await instance.stop(), 0)
  await again.close()
})

test('a permanent refusal: the sender, one of our aliases, gets a DSN with the null reverse path', async () => {
  const sink = await startSmtpSink({
    rcpt: (address) => (address === 'a@b.example' ? '550 5.1.1 no <a@b.example>' : null),
  })
  const instance = await startServer({ config: throughRelay(sink.port) })
  assert.match(await send(instance.port, { from: 'hello@catch.example', to: ['info@example.org'] }), /^250/)
  const [dsn] = await sink.received(1)
  assert.equal(dsn?.from, '')
  assert.deepEqual(dsn?.to, ['all@b.example'])
  assert.match(dsn?.text ?? '', /^Delivered-To: hello@catch\.example\r\n/)
  assert.match(dsn?.text ?? '', /Content-Type: multipart\/report; report-type=delivery-status/)
  assert.match(
    dsn?.text ?? '',
    /Final-Recipient: rfc822; info@example\.org\r\nAction: failed\r\nStatus: 5\.1\.1\r\n/,
  )
  assert.doesNotMatch(dsn?.text ?? '', /a@b\.example/)
  assert.equal(await instance.metric('mailfleet_deliveries_total{result="failed"}'), 1)
  assert.equal(await instance.stop(), 0)
  await sink.close()
})

test('a null reverse path never gets a DSN: an undeliverable bounce is dropped', async () => {
  const sink = await startSmtpSink({ rcpt: () => '550 5.1.1 no' })
  const instance = await startServer({ config: throughRelay(sink.port) })
  assert.match(await send(instance.port, { from: '', to: ['info@example.org'] }), /^250/)
  assert.equal((await instance.logged('dsn'))['dsn'], 'no-return-path')
  assert.equal(await instance.metric('mailfleet_queue_bytes'), 0)
  assert.equal(await instance.stop(), 0)
  assert.equal(sink.mail.length, 0)
  await sink.close()
})

test('after the lifetime a DSN says so and quotes the last reply', async () => {
  const refuse = (address: string): SmtpReply =>
    address === 'a@b.example' ? '451 4.2.1 come back later' : null
  const sink = await startSmtpSink({ rcpt: refuse })
  const config = throughRelay(sink.port, { retry: { ...RETRY, lifetimeMs: 300 } })
  const instance = await startServer({ config })
  assert.match(await send(instance.port, { to: ['info@example.org'] }), /^250/)
  const [dsn] = await sink.received(1)
  assert.deepEqual(dsn?.to, ['alice@sender.example'])
  assert.doesNotMatch(dsn?.text ?? '', /^Delivered-To/)
  assert.match(dsn?.text ?? '', /Status: 5\.4\.7/)
  assert.match(dsn?.text ?? '', /last reply: 451\s+4\.2\.1\s+come back later/)
  assert.equal(await instance.stop(), 0)
  await sink.close()
})

test('a failing destination repeats no other delivery, and each destination gets the message once', async () => {
  let tries = 0
  const rcpt = (address: string): SmtpReply => {
    if (address === 'c@d.example') return '550 5.1.1 no such user'
    if (address === 'e@f.example') return ++tries < 4 ? '451 4.3.0 later' : null
    return null
  }
  const sink = await startSmtpSink({ rcpt })
  const instance = await startServer({ config: throughRelay(sink.port) })
  assert.match(await send(instance.port, { to: ['team@example.org'] }), /^250/)
  const mail = await sink.received(3)
  assert.deepEqual(mail.map(({ to }) => to.join()).sort(), [
    'a@b.example',
    'alice@sender.example',
    'e@f.example',
  ])
  await instance.logged('delivered', ({ destination }) => destination === 'e@f.example')
  assert.equal(await instance.metric('mailfleet_queue_bytes'), 0)
  assert.equal(await instance.stop(), 0)
  assert.equal(sink.mail.length, 3)
  await sink.close()
})

test('the first host’s acceptance is recorded before the second host is tried', async () => {
  const sink = await startSmtpSink({
    rcpt: (address) => (address === 'all@b.example' ? '451 later' : null),
  })
  const config = throughRelay(sink.port, { retry: { ...RETRY, firstMs: 60_000, maxMs: 60_000 } })
  const folder = testFolder()
  const instance = await startServer({ config, folder })
  assert.match(await send(instance.port, { to: ['info@example.org', 'x@catch.example'] }), /^250/)
  await instance.logged('deferred')
  assert.equal(sink.mail.length, 1)
  assert.equal(await instance.metric('mailfleet_queue_deferred'), 1)
  assert.equal(await instance.stop(), 0)
  await sink.close()
})

test('mail survives a restart and a kill -9 after the 250', async () => {
  const folder = testFolder()
  const config = throughRelay(1, { retry: { ...RETRY, maxMs: 50 } })
  const leased = { leaseMs: 1_000, relay: { host: '127.0.0.1', port: 1 } }
  const first = await startServer({ config: { ...config, delivery: leased }, folder })
  const dialog = await openGreetedDialog(first.port)
  for (let sent = 0; sent < 5; sent++) {
    assert.match(
      (await sendMail(dialog, { to: ['info@example.org'], message: `Subject: ${sent}\r\n\r\nx\r\n` })).at(
        -1,
      ) ?? '',
      /^250/,
    )
  }
  first.signal('SIGKILL')
  await first.exited()
  const sink = await startSmtpSink()
  const delivery = { ...leased, relay: { host: '127.0.0.1', port: sink.port } }
  const second = await startServer({ config: { ...config, delivery }, folder })
  const mail = await sink.received(5)
  const subjects = mail.map(({ text: message }) => /^Subject: (\d)/m.exec(message)?.[1]).sort()
  assert.deepEqual(subjects, ['0', '1', '2', '3', '4'])
  assert.equal(await second.stop(), 0)
  await sink.close()
})

test('many messages share few connections', async () => {
  const sink = await startSmtpSink()
  const instance = await startServer({ config: throughRelay(sink.port) })
  const dialog = await openGreetedDialog(instance.port)
  for (let sent = 0; sent < 40; sent++) await sendMail(dialog, { to: ['info@example.org'] })
  dialog.end()
  await sink.received(40)
  assert.ok(sink.connections() <= 10, `${sink.connections()} connections`)
  assert.equal(await instance.stop(), 0)
  await sink.close()
})

test('a host that closes idle connections costs no message a retry', async () => {
  const sink = await startSmtpSink({ idleMs: 400 })
  const instance = await startServer({
    config: throughRelay(sink.port, { retry: { firstMs: 60_000, maxMs: 60_000 } }),
  })
  for (let sent = 1; sent <= 3; sent++) {
    assert.match(await send(instance.port, { to: ['info@example.org'] }), /^250/)
    await sink.received(sent)
    await new Promise((resolve) => setTimeout(resolve, 450))
  }
  assert.equal(await instance.metric('mailfleet_deliveries_total{result="deferred"}'), 0)
  assert.equal(await instance.stop(), 0)
  await sink.close()
})

test('a bounce to our reverse path reaches the original sender', async () => {
  const sink = await startSmtpSink()
  const instance = await startServer({ config: throughRelay(sink.port) })
  assert.match(await send(instance.port, { to: ['info@example.org'] }), /^250/)
  const [forwarded] = await sink.received(1)
  assert.match(forwarded?.from ?? '', /^SRS0=/)
  assert.match(await send(instance.port, { from: '', to: [forwarded!.from] }), /^250/)
  const bounce = (await sink.received(2))[1]
  assert.equal(bounce?.from, '')
  assert.deepEqual(bounce?.to, ['alice@sender.example'])
  assert.equal(await instance.stop(), 0)
  await sink.close()
})

test('two instances share the queue: either delivers what the other accepted', async () => {
  const sink = await startSmtpSink({
    data: () => new Promise((resolve) => setTimeout(() => resolve(null), 50)),
  })
  const folder = testFolder()
  const delivery = { concurrency: 2, relay: { host: '127.0.0.1', port: sink.port } }
  const spool = { path: `${folder}/spool`, volatile: true }
  const one = await startServer({ config: { queue: spool, delivery } })
  const two = await startServer({ config: { queue: spool, delivery } })
  const dialog = await openGreetedDialog(one.port)
  for (let sent = 0; sent < 40; sent++) await sendMail(dialog, { to: ['info@example.org'] })
  dialog.end()
  await sink.received(40)
  const delivered = (name: typeof one) => name.metric('mailfleet_deliveries_total{result="delivered"}')
  const shares = [(await delivered(one)) ?? 0, (await delivered(two)) ?? 0]
  assert.ok(Math.min(...shares) >= 5, shares.join())
  assert.equal(await one.stop(), 0)
  assert.equal(await two.stop(), 0)
  assert.equal(sink.mail.length, 40)
  await sink.close()
})
