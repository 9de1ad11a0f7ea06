// One transaction with the next host, against hosts that misbehave in many ways.
import assert from 'node:assert/strict'
import { createServer, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { createConnections } from '../../../server/delivery/connection-pool.ts'
import type { LeaseGuard } from '../../../server/delivery/lease-keeper.ts'
import { send } from '../../../server/delivery/send.ts'
import { createHostBackOff } from '../../../server/delivery/host-back-off.ts'
import {
  mxReplies,
  describeOutcome,
  ENVELOPE,
  startFakeMxHost,
  MESSAGE,
  CONNECTION_OPTIONS,
  type FakeMxHost,
} from '../../kit/server/fake-mx-host.ts'

/** Longer than a host's silence is borne, shorter than what a host that drips its reply would take. */
const TRANSACTION_MS = 2_000

/** A lease that is never lost. */
const HELD: LeaseGuard = { signal: new AbortController().signal, isLost: () => false }

async function sendTo(
  fakes: readonly FakeMxHost[],
  message: readonly Buffer[] = MESSAGE,
  now?: () => number,
): Promise<string[]> {
  const transport = {
    connections: createConnections(CONNECTION_OPTIONS),
    hostBackOff: createHostBackOff(now),
    transactionMs: TRANSACTION_MS,
  }
  const hosts = fakes.map(({ port }, index) => ({ name: `mx${index}.b.example`, address: '127.0.0.1', port }))
  const outcomes = await send(transport, hosts, { envelope: ENVELOPE, message, hold: HELD })
  transport.connections.close()
  return ENVELOPE.recipients.map((recipient) => describeOutcome(outcomes.get(recipient)))
}

const BEHAVIOURS: [name: string, over: Record<string, string | null>, expected: [string, string]][] = [
  ['in order', {}, ['delivered 2.0.0', 'delivered 2.0.0']],
  ['without PIPELINING', { EHLO: '250 mx.b.example' }, ['delivered 2.0.0', 'delivered 2.0.0']],
  ['one recipient refused for good', { 'RCPT TO:<c@': '550 5.1.1 no' }, ['delivered 2.0.0', 'failed 5.1.1']],
  [
    'one recipient refused for now',
    { 'RCPT TO:<c@': '452 4.5.3 later' },
    ['delivered 2.0.0', 'deferred remote 4.5.3'],
  ],
  [
    'both refused, with different replies',
    { 'RCPT TO:<a@': '550 5.1.1 no', 'RCPT TO:<c@': '450 4.2.0 later', DATA: '554 none' },
    ['failed 5.1.1', 'deferred remote 4.2.0'],
  ],
  [
    'the sender refused',
    { MAIL: '550 5.7.1 not you', RCPT: '503 what', DATA: '503 what' },
    ['failed 5.7.1', 'failed 5.7.1'],
  ],
  ['the message refused', { '.': '554 5.6.0 no' }, ['failed 5.6.0', 'failed 5.6.0']],
  [
    'answering RCPT with no reply code',
    { 'RCPT TO:<c@': 'what?' },
    ['delivered 2.0.0', 'deferred remote 4.0.0'],
  ],
  ['answering the dot with no reply code', { '.': 'ok' }, ['deferred remote 4.0.0', 'deferred remote 4.0.0']],
  ['the message deferred', { '.': '451 4.3.0 later' }, ['deferred remote 4.3.0', 'deferred remote 4.3.0']],
  ['closing instead of the last reply', { '.': null }, ['deferred connect 4.4.2', 'deferred connect 4.4.2']],
  ['silent instead of the last reply', { '.': '' }, ['deferred connect 4.4.2', 'deferred connect 4.4.2']],
  ['silent from the start', { greeting: '' }, ['deferred connect 4.4.1', 'deferred connect 4.4.1']],
  ['greeting with 554', { greeting: '554 no service' }, ['deferred connect 4.4.1', 'deferred connect 4.4.1']],
  [
    'no SMTP at all',
    { greeting: 'HTTP/1.1 400 Bad Request' },
    ['deferred connect 4.4.1', 'deferred connect 4.4.1'],
  ],
  [
    '421 to MAIL',
    { MAIL: '421 4.3.2 closing', RCPT: '', DATA: '' },
    ['deferred remote 4.3.2', 'deferred remote 4.3.2'],
  ],
]

/** A host that does not wait for commands: writes its replies, at once or byte by byte, whatever it is told. */
async function deafHost(
  replies: string,
  { end, byteMs }: { end: boolean; byteMs?: number },
): Promise<FakeMxHost> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.resume()
    if (byteMs === undefined) socket.write(replies)
    else {
      const bytes = [...replies]
      const timer = setInterval(() => socket.write(bytes.shift() ?? 'x'), byteMs)
      socket.on('close', () => clearInterval(timer))
    }
    if (end) socket.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  server.unref()
  const { port } = server.address() as AddressInfo
  return { port, connections: 0, messages: 0, close: () => server.close() }
}

test('a host that replies too soon and closes at any point holds no delivery', async () => {
  const replies = ['220 x', '250 x', '250 ok', '250 ok', '250 ok', '354 go']
  for (let count = 1; count <= replies.length; count++) {
    const one = await deafHost(`${replies.slice(0, count).join('\r\n')}\r\n`, { end: true })
    for (const outcome of await sendTo([one])) assert.match(outcome, /^deferred connect 4\.4\.[12]$/)
    one.close()
  }
})

test('a host that sends an endless reply byte by byte holds no delivery', async () => {
  for (const replies of ['220 x\r\n250-', '220 x\r\n250 x\r\n250-']) {
    const one = await deafHost(replies, { end: false, byteMs: 10 })
    for (const outcome of await sendTo([one])) assert.match(outcome, /^deferred connect 4\.4\.[12]$/)
    one.close()
  }
})

for (const [name, over, expected] of BEHAVIOURS) {
  test(`a host ${name}: ${expected.join(', ')}`, async () => {
    const one = await startFakeMxHost(mxReplies(over))
    assert.deepEqual(await sendTo([one]), expected)
    one.close()
  })
}

test('a message larger than the host takes fails without being sent', async () => {
  const one = await startFakeMxHost(mxReplies())
  assert.deepEqual(await sendTo([one], [Buffer.alloc(2_000, 'x')]), ['failed 5.3.4', 'failed 5.3.4'])
  assert.equal(one.messages, 0)
  one.close()
})

test('the next host is tried when the first refuses the session, and not after the message began', async () => {
  const closed = await startFakeMxHost(mxReplies({ greeting: null }))
  const full = await startFakeMxHost(mxReplies({ greeting: '421 4.3.2 full' }))
  const good = await startFakeMxHost(mxReplies())
  assert.deepEqual(await sendTo([closed, full, good]), ['delivered 2.0.0', 'delivered 2.0.0'])
  const breaks = await startFakeMxHost(mxReplies({ '.': null }))
  assert.deepEqual(await sendTo([breaks, good]), ['deferred connect 4.4.2', 'deferred connect 4.4.2'])
  assert.equal(good.messages, 1)
  for (const each of [closed, full, good, breaks]) each.close()
})

test('a connection is reused up to its limit, and never after a refusal', async () => {
  const one = await startFakeMxHost(mxReplies())
  const transport = {
    connections: createConnections(CONNECTION_OPTIONS),
    hostBackOff: createHostBackOff(),
    transactionMs: TRANSACTION_MS,
  }
  const hosts = [{ name: 'mx.b.example', address: '127.0.0.1', port: one.port }]
  for (let sent = 1; sent <= 5; sent++) {
    await send(transport, hosts, { envelope: ENVELOPE, message: MESSAGE, hold: HELD })
    assert.equal(one.connections, Math.ceil(sent / CONNECTION_OPTIONS.messagesPerConnection))
  }
  transport.connections.close()
  one.close()
})

test('a host that times out is tried by one attempt at a time, and one that refuses at once by all', () => {
  let nowMs = 1_000_000
  const hostBackOff = createHostBackOff(() => nowMs)
  const host = { name: 'x', address: '192.0.2.1', port: 25 }
  assert.equal(hostBackOff.mayTry(host), true)
  hostBackOff.failed(host, nowMs - 10)
  assert.equal(hostBackOff.mayTry(host), true)
  hostBackOff.failed(host, nowMs - 5_000)
  assert.equal(hostBackOff.mayTry(host), false)
  assert.equal(hostBackOff.mayTry({ ...host, address: '192.0.2.2' }), true)
  nowMs += 30_001
  assert.equal(hostBackOff.mayTry(host), true)
  assert.equal(hostBackOff.mayTry(host), false)
  hostBackOff.answered(host)
  assert.equal(hostBackOff.mayTry(host), true)
})
