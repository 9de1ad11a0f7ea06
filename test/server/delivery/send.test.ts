// One transaction with the next host, against hosts that behave in every way but well.
import assert from 'node:assert/strict'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { createConnections } from '../../../server/delivery/connections.ts'
import type { Outcome } from '../../../server/delivery/outcome.ts'
import { send } from '../../../server/delivery/send.ts'
import { createUnanswering } from '../../../server/delivery/unanswering.ts'

const OPTIONS = {
  hostname: 'mx1.example.net',
  connectMs: 1_000,
  greetingMs: 1_000,
  socketMs: 1_000,
  idleMs: 1_000,
  messagesPerConnection: 2,
  maxIdle: 1,
}

/** Longer than a host's silence is borne, shorter than what a host that drips its reply would take. */
const TRANSACTION_MS = 2_000

type Host = { port: number; connections: number; messages: number; close: () => void }

/** A host that answers each command as `answer` says; null closes the connection without a word. */
async function host(answer: (line: string) => string | null): Promise<Host> {
  const state = { connections: 0, messages: 0 }
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    state.connections++
    sockets.add(socket)
    socket.on('error', () => {})
    let data = false
    let rest = ''
    const say = (line: string) => {
      const reply = answer(line)
      if (reply === null) socket.destroy()
      else if (reply !== '') socket.write(`${reply}\r\n`)
      return reply
    }
    say('greeting')
    socket.on('data', (chunk) => {
      const lines = (rest + chunk.toString()).split('\r\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (data && line !== '.') continue
        if (data) state.messages++
        const reply = say(line)
        data = line === 'DATA' && reply?.startsWith('354') === true
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return state.connections
    },
    get messages() {
      return state.messages
    },
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Answers as a host in order does, but for what `over` says. */
function answers(over: Record<string, string | null> = {}): (line: string) => string | null {
  const usual: Record<string, string> = {
    greeting: '220 mx.b.example ESMTP',
    EHLO: '250-mx.b.example\r\n250-PIPELINING\r\n250 SIZE 1000',
    MAIL: '250 2.1.0 ok',
    RCPT: '250 2.1.5 ok',
    DATA: '354 go on',
    '.': '250 2.0.0 taken',
    QUIT: '221 bye',
  }
  return (line) => {
    const found = Object.keys({ ...usual, ...over })
      .sort((one, other) => other.length - one.length)
      .find((start) => line.startsWith(start))
    return found === undefined ? '500 what' : ({ ...usual, ...over }[found] ?? null)
  }
}

const ENVELOPE = {
  reversePath: 'a@sender.example',
  recipients: ['a@b.example', 'c@b.example'],
  eightBit: false,
}
const MESSAGE = [Buffer.from('Delivered-To: x\r\n'), Buffer.from('Subject: x\r\n\r\nx\r\n')]

async function sendTo(
  hosts: readonly Host[],
  message: readonly Buffer[] = MESSAGE,
  now?: () => number,
): Promise<string[]> {
  const ways = {
    connections: createConnections(OPTIONS),
    unanswering: createUnanswering(now),
    transactionMs: TRANSACTION_MS,
  }
  const hops = hosts.map(({ port }, index) => ({ name: `mx${index}.b.example`, address: '127.0.0.1', port }))
  const outcomes = await send(ways, hops, ENVELOPE, message)
  ways.connections.close()
  return ENVELOPE.recipients.map((recipient) => described(outcomes.get(recipient)))
}

function described(outcome: Outcome | undefined): string {
  if (outcome === undefined) return 'nothing'
  return [outcome.kind, ...(outcome.kind === 'deferred' ? [outcome.why] : []), outcome.status].join(' ')
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
    'both refused, each in its way',
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
async function deafHost(replies: string, { end, byteMs }: { end: boolean; byteMs?: number }): Promise<Host> {
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

test('a host that closes at any point of answering too soon holds no delivery', async () => {
  const replies = ['220 x', '250 x', '250 ok', '250 ok', '250 ok', '354 go']
  for (let count = 1; count <= replies.length; count++) {
    const one = await deafHost(`${replies.slice(0, count).join('\r\n')}\r\n`, { end: true })
    for (const outcome of await sendTo([one])) assert.match(outcome, /^deferred connect 4\.4\.[12]$/)
    one.close()
  }
})

test('a host that drips a reply without end holds no delivery', async () => {
  for (const replies of ['220 x\r\n250-', '220 x\r\n250 x\r\n250-']) {
    const one = await deafHost(replies, { end: false, byteMs: 10 })
    for (const outcome of await sendTo([one])) assert.match(outcome, /^deferred connect 4\.4\.[12]$/)
    one.close()
  }
})

for (const [name, over, expected] of BEHAVIOURS) {
  test(`a host ${name}: ${expected.join(', ')}`, async () => {
    const one = await host(answers(over))
    assert.deepEqual(await sendTo([one]), expected)
    one.close()
  })
}

test('a message larger than the host takes fails without being sent', async () => {
  const one = await host(answers())
  assert.deepEqual(await sendTo([one], [Buffer.alloc(2_000, 'x')]), ['failed 5.3.4', 'failed 5.3.4'])
  assert.equal(one.messages, 0)
  one.close()
})

test('the next host is tried when the first does not welcome us, and not after the message began', async () => {
  const closed = await host(answers({ greeting: null }))
  const full = await host(answers({ greeting: '421 4.3.2 full' }))
  const good = await host(answers())
  assert.deepEqual(await sendTo([closed, full, good]), ['delivered 2.0.0', 'delivered 2.0.0'])
  const breaks = await host(answers({ '.': null }))
  assert.deepEqual(await sendTo([breaks, good]), ['deferred connect 4.4.2', 'deferred connect 4.4.2'])
  assert.equal(good.messages, 1)
  for (const each of [closed, full, good, breaks]) each.close()
})

test('a connection is used again, as often as it may be, and one that had a refusal is not', async () => {
  const one = await host(answers())
  const ways = {
    connections: createConnections(OPTIONS),
    unanswering: createUnanswering(),
    transactionMs: TRANSACTION_MS,
  }
  const hops = [{ name: 'mx.b.example', address: '127.0.0.1', port: one.port }]
  for (let sent = 1; sent <= 5; sent++) {
    await send(ways, hops, ENVELOPE, MESSAGE)
    assert.equal(one.connections, Math.ceil(sent / OPTIONS.messagesPerConnection))
  }
  ways.connections.close()
  one.close()
})

test('a host that lets us wait is tried by one at a time, one that refuses at once by everyone', () => {
  let nowMs = 1_000_000
  const unanswering = createUnanswering(() => nowMs)
  const hop = { name: 'x', address: '192.0.2.1', port: 25 }
  assert.equal(unanswering.mayTry(hop), true)
  unanswering.failed(hop, nowMs - 10)
  assert.equal(unanswering.mayTry(hop), true)
  unanswering.failed(hop, nowMs - 5_000)
  assert.equal(unanswering.mayTry(hop), false)
  assert.equal(unanswering.mayTry({ ...hop, address: '192.0.2.2' }), true)
  nowMs += 30_001
  assert.equal(unanswering.mayTry(hop), true)
  assert.equal(unanswering.mayTry(hop), false)
  unanswering.answered(hop)
  assert.equal(unanswering.mayTry(hop), true)
})
