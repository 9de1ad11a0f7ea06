// The SMTP test client against a scripted server: which end of a session is polite and which one is a lost connection.
// The storm's figure "no connection was reset" rests on these tests.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { after, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { acceptedReply, createSmtpClient, greets, submitUntilAccepted } from '../../mailkit/smtp-client.ts'
import { startSmtpSink } from '../../mailkit/smtp-sink.ts'

type Reaction = string | ((socket: Socket) => void)

const raw = Buffer.from('Subject: test\r\n\r\n.a dot\r\n..two\r\n\r\n.\r\nend\r\n')
const mail = { from: 'a@origin.example', to: ['b@alias.example'], raw }
const reset = (socket: Socket) => void socket.resetAndDestroy()
const close = (socket: Socket) => void socket.end()

/** An SMTP server of a few lines; `script` says what it answers to a command in place of "250 ok". */
function server(script: Record<string, Reaction>) {
  const sockets: Socket[] = []
  const listener = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    const react = (reaction: Reaction) => {
      if (typeof reaction === 'string') socket.write(`${reaction}\r\n`)
      else reaction(socket)
    }
    let inData = false
    createInterface(socket).on('line', (line) => {
      if (inData && line !== '.') return
      const command = inData ? 'dot' : (line.split(' ')[0] ?? '')
      inData = command === 'DATA' && script['DATA'] === undefined
      react(script[command] ?? (inData ? '354 go on' : '250 ok'))
    })
    react(script['greeting'] ?? '220 test')
  })
  listener.listen(0, '127.0.0.1')
  after(() => {
    for (const socket of sockets) socket.destroy()
    listener.close()
  })
  return { listener, sockets }
}

async function clientOf(script: Record<string, Reaction>) {
  const { listener, sockets } = server(script)
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const lost: string[] = []
  const client = createSmtpClient({
    port,
    localAddress: '127.0.1.1',
    name: 'mta.example',
    onIdleLoss: (reason) => lost.push(reason),
  })
  return { client, lost, sockets }
}

const refused = (reply: string) => ({ kind: 'refused', code: Number(reply.slice(0, 3)), reply })

suite('a message in a session', () => {
  const cases: [name: string, script: Record<string, Reaction>, sent: object][] = [
    ['accepted', {}, { kind: 'accepted', reply: '250 ok' }],
    ['refused at MAIL', { MAIL: '451 later' }, refused('451 later')],
    ['refused at RCPT', { RCPT: '452 later' }, refused('452 later')],
    ['refused at DATA', { DATA: '451 later' }, refused('451 later')],
    ['refused after the dot', { dot: '452 full' }, refused('452 full')],
    ['never taken', { RCPT: '550 no' }, refused('550 no')],
    ['421 instead of a reply', { MAIL: (s) => void s.end('421 bye\r\n') }, refused('421 bye')],
    ['reset at MAIL', { MAIL: reset }, { kind: 'lost', reason: 'ECONNRESET' }],
    ['reset after the dot', { dot: reset }, { kind: 'lost', reason: 'ECONNRESET' }],
    ['closed without a reply', { MAIL: close }, { kind: 'lost', reason: 'closed without a reply' }],
  ]
  for (const [name, script, expected] of cases) {
    test(name, async () => {
      const { client, lost } = await clientOf(script)
      assert.deepEqual(await client.send(mail), expected)
      await sleep(20)
      assert.deepEqual(lost, [], 'the loss is reported once')
    })
  }

  test('refused at the greeting', async () => {
    const { client } = await clientOf({ greeting: '421 too many' })
    assert.deepEqual(await client.send(mail), refused('421 too many'))
    assert.equal(client.isOpen(), false)
  })

  test('reset at the greeting', async () => {
    const { client } = await clientOf({ greeting: reset })
    assert.deepEqual(await client.send(mail), { kind: 'lost', reason: 'ECONNRESET' })
  })

  test('connection refused', async () => {
    const { listener } = server({})
    await once(listener, 'listening')
    const { port } = listener.address() as AddressInfo
    listener.close()
    await once(listener, 'close')
    const client = createSmtpClient({ port })
    assert.deepEqual(await client.send(mail), { kind: 'lost', reason: 'ECONNREFUSED' })
    assert.equal(await greets(port, 1_000), false)
  })

  test('no reply in time', async () => {
    const { listener } = server({ MAIL: () => {} })
    await once(listener, 'listening')
    const { port } = listener.address() as AddressInfo
    const client = createSmtpClient({ port, replyMs: 50 })
    const reason = 'the server sent nothing for 50 ms'
    assert.deepEqual(await client.send(mail), { kind: 'lost', reason })
    assert.equal(client.isOpen(), false)
  })
})

test('a message arrives byte for byte, with its dots', async () => {
  const sink = await startSmtpSink()
  const client = createSmtpClient({ port: sink.port })
  for (let sent = 0; sent < 2; sent += 1) acceptedReply(await client.send(mail))
  client.quit()
  assert.equal(sink.connections(), 1)
  assert.deepEqual(
    sink.mail.map(({ from, to, raw: received }) => ({ from, to, raw: received })),
    [mail, mail],
  )
  await sink.close()
})

test('a session goes on after a refused recipient', async () => {
  let refuses = true
  const sink = await startSmtpSink({ rcpt: () => (refuses ? '452 4.5.3 too many' : null) })
  const client = createSmtpClient({ port: sink.port })
  assert.throws(
    () => acceptedReply({ kind: 'refused', code: 452, reply: '452 4.5.3 too many' }),
    /452 4\.5\.3/,
  )
  assert.deepEqual(await client.send(mail), refused('452 4.5.3 too many'))
  refuses = false
  assert.equal(client.isOpen(), true)
  client.close()
  assert.equal((await submitUntilAccepted(sink.port, mail, AbortSignal.timeout(20_000))).slice(0, 3), '250')
  await sink.close()
})

suite('an idle session', () => {
  const cases: [title: string, end: (socket: Socket) => void, lost: string[]][] = [
    ['421 and closed: polite', (socket) => void socket.end('421 4.3.2 going down\r\n'), []],
    ['closed without a word', close, ['closed without 421']],
    ['reset', reset, ['ECONNRESET']],
  ]
  for (const [title, end, expected] of cases) {
    test(title, async () => {
      const { client, lost, sockets } = await clientOf({})
      acceptedReply(await client.send(mail))
      assert.equal(client.isOpen(), true)
      for (const socket of sockets) end(socket)
      for (let tries = 0; tries < 100 && client.isOpen(); tries += 1) await sleep(10)
      assert.equal(client.isOpen(), false)
      assert.deepEqual(lost, expected)
    })
  }

  test('a QUIT of the client is no loss', async () => {
    const { client, lost } = await clientOf({ QUIT: (socket) => void socket.end('221 bye\r\n') })
    acceptedReply(await client.send(mail))
    client.quit()
    await sleep(50)
    assert.deepEqual(lost, [])
  })
})
