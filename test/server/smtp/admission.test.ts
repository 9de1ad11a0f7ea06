// Refusals at a limit: the decisions as a table, and over a real socket with their metrics.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  admitConnection,
  admitMessage,
  clientKey,
  startLoadMonitor,
  type ServerLoad,
} from '../../../server/smtp/admission.ts'
import { startServer } from '../../kit/server/server-process.ts'
import { startSmtpSink } from '../../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail, openDialog } from '../../../mailkit/smtp-dialog.ts'

const STATS = {
  ready: 10,
  inFlight: 0,
  deferred: 0,
  oldestReadyMs: 0,
  unknownVersion: 0,
  entries: 10,
  bytes: 1_000,
}
const IDLE: ServerLoad = { stats: STATS, acceptedSince: 0, acceptedBytesSince: 0, bufferedBytes: 0 }
const LIMITS = { readyEntries: 20, bufferedBytes: 5_000 }
const QUEUE = { maxEntries: 100, maxBytes: 10_000 }

const MESSAGES: [name: string, load: Partial<ServerLoad>, sizeBytes: number, expected: string | null][] = [
  ['room for it', {}, 1_000, null],
  ['the queue does not answer', { stats: null }, 0, '451 queue'],
  ['the queue is full of entries', { stats: { ...STATS, entries: 100 } }, 0, '452 queue-full'],
  [
    'the queue is full counting what came since',
    { stats: { ...STATS, entries: 98 }, acceptedSince: 2 },
    0,
    '452 queue-full',
  ],
  ['the queue has no room for its bytes', { stats: { ...STATS, bytes: 9_500 } }, 501, '452 queue-full'],
  ['the backlog is at its bound', { stats: { ...STATS, ready: 20 } }, 0, '451 backlog'],
  ['the backlog is counting what came since', { acceptedSince: 10 }, 0, '451 backlog'],
  ['a large deferred queue is no backlog', { stats: { ...STATS, deferred: 80, entries: 90 } }, 0, null],
  ['too many messages are arriving', { bufferedBytes: 4_500 }, 501, '452 memory'],
]

for (const [name, load, sizeBytes, expected] of MESSAGES) {
  test(`a message when ${name}: ${expected ?? 'admitted'}`, () => {
    const refusal = admitMessage({ ...IDLE, ...load }, sizeBytes, LIMITS, QUEUE)
    assert.equal(refusal === null ? null : `${refusal.code} ${refusal.reason}`, expected)
  })
}

test('a connection beyond either limit gets 421', () => {
  const bounds = { connections: 10, connectionsPerClient: 3 }
  const decide = (connections: number, fromClient: number, draining = false) =>
    admitConnection({ connections, fromClient, draining }, bounds)?.reason ?? null
  assert.equal(decide(10, 3), null)
  assert.equal(decide(11, 1), 'sessions')
  assert.equal(decide(5, 4), 'client-connections')
  assert.equal(decide(1, 1, true), 'draining')
})

test('a client is an IPv4 address or an IPv6 /64', () => {
  assert.equal(clientKey('192.0.2.1'), '192.0.2.1')
  assert.equal(clientKey('2001:db8:0:1:2:3:4:5'), '2001:db8:0:1::/64')
  assert.equal(clientKey('2001:db8:0:1::5'), '2001:db8:0:1::/64')
  assert.equal(clientKey('2001:db8::1:2:3:4'), '2001:db8:0:0::/64')
  assert.equal(clientKey('2001:0db8::'), '2001:db8:0:0::/64')
  assert.equal(clientKey('::1'), '0:0:0:0::/64')
  assert.equal(clientKey('2001::1:2:3:4:5:6'), '2001:0:1:2::/64')
  assert.equal(clientKey('fe80::1%eth0'), 'fe80:0:0:0::/64')
})

test('a failed poll of the queue is reported', async () => {
  const errors: unknown[] = []
  const stats = () => Promise.reject(new Error('gone'))
  const watch = await startLoadMonitor({ stats, statsMs: 10_000 }, (error) => errors.push(error))
  assert.equal(watch.load.stats, null)
  assert.equal(errors.length, 1)
  watch.stop()
})

test('a backlog at its limit refuses MAIL with 451; a retried message is demand once', async () => {
  const sink = await startSmtpSink({ data: () => new Promise<null>(() => {}) })
  const instance = await startServer({
    config: {
      limits: { readyEntries: 2 },
      delivery: { concurrency: 1, relay: { host: '127.0.0.1', port: sink.port } },
    },
  })
  const dialog = await openGreetedDialog(instance.port)
  const replies: string[] = []
  for (let sent = 0; sent < 6; sent++)
    replies.push((await sendMail(dialog, { to: ['info@example.org'] }))[0] ?? '')
  const refused = replies.filter((reply) => reply.startsWith('451 4.3.2')).length
  assert.ok(refused >= 2, replies.join('\n'))
  assert.equal(await instance.metric('mailfleet_refused_total{reason="backlog"}'), refused)
  assert.equal(await instance.metric('mailfleet_refused_demand_total'), 1)
  await sendMail(dialog, { from: 'bob@sender.example', to: ['info@example.org'] })
  assert.equal(await instance.metric('mailfleet_refused_demand_total'), 2)
  assert.equal(await instance.metric('mailfleet_refused_faults_total'), 0)
  assert.equal(await instance.metric('mailfleet_messages_accepted_total'), 6 - refused)
  instance.signal('SIGKILL')
  await sink.close()
})

test('a full queue refuses with 452 and keeps what it has', async () => {
  const instance = await startServer({
    config: { queue: { maxEntries: 2 }, delivery: { relay: { host: '127.0.0.1', port: 1 } } },
  })
  const dialog = await openGreetedDialog(instance.port)
  const last = async () => (await sendMail(dialog, { to: ['info@example.org'] })).at(-1) ?? ''
  assert.match(await last(), /^250 /)
  assert.match(await last(), /^250 /)
  assert.match((await dialog.say('MAIL FROM:<a@sender.example>')) ?? '', /^452 4\.3\.1/)
  const metrics = await (await instance.admin('/metrics')).text()
  assert.match(metrics, /^mailfleet_refused_total\{reason="queue-full"\} 1$/m)
  assert.match(metrics, /^mailfleet_refused_faults_total 1$/m)
  assert.match(metrics, /^mailfleet_refused_demand_total 0$/m)
  dialog.end()
  assert.equal(await instance.stop(), 0)
})

test('one connection above the limit gets 421; closing one makes room', async () => {
  const instance = await startServer({ config: { limits: { connections: 2 } } })
  const [one, two] = [await openGreetedDialog(instance.port), await openGreetedDialog(instance.port)]
  const third = await openDialog(instance.port)
  assert.match((await third.line()) ?? '', /^421 4\.3\.2/)
  assert.equal(await third.line(), null)
  assert.equal(third.failure(), null)
  third.end()
  assert.equal(await instance.metric('mailfleet_refused_total{reason="sessions"}'), 1)
  await one.say('QUIT')
  one.end()
  const again = await openDialog(instance.port)
  assert.match((await again.line()) ?? '', /^(220|421)/)
  again.end()
  two.end()
  assert.equal(await instance.stop(), 0)
})

test('messages beyond the memory limit get 452; the next message is accepted', async () => {
  const sink = await startSmtpSink()
  const config = {
    limits: { bufferedBytes: 1_048_576 },
    delivery: { relay: { host: '127.0.0.1', port: sink.port } },
  }
  const instance = await startServer({ config })
  const dialog = await openGreetedDialog(instance.port)
  const large = `Subject: x\r\n\r\n${`${'x'.repeat(998)}\r\n`.repeat(1_200)}`
  const replies = await sendMail(dialog, { to: ['info@example.org'], message: large })
  assert.match(replies.at(-1) ?? '', /^452 4\.3\.1/)
  assert.match((await sendMail(dialog, { to: ['info@example.org'] })).at(-1) ?? '', /^250 /)
  dialog.end()
  assert.equal(await instance.stop(), 0)
  await sink.close()
})
