// A sender's session against a server that says what the test tells it: which end of a session is polite and which is
// a reset. The figure "no connection was reset" is worth what this file proves.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { after, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { stormMessage } from '../../storm/message.ts'
import { seededRandom } from '../../platform/seeded-random.ts'
import { openSession, type Session } from '../../storm/session.ts'

type Reaction = string | ((socket: Socket) => void)

const message = stormMessage(1, seededRandom(1), { messageBytes: [500, 500] })
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

async function open(script: Record<string, Reaction>) {
  const { listener, sockets } = server(script)
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const lost: string[] = []
  const options = { host: '127.0.0.1', port, localAddress: '127.0.1.1', name: 'mta.example' }
  const opened = await openSession(options, (reason) => lost.push(reason))
  return { opened, lost, sockets }
}

function session(opened: object): Session {
  assert.ok('send' in opened, `not opened: ${JSON.stringify(opened)}`)
  return opened as Session
}

suite('a message in a session', () => {
  const cases: [name: string, script: Record<string, Reaction>, sent: object][] = [
    ['accepted', {}, { kind: 'accepted' }],
    ['refused at MAIL', { MAIL: '451 later' }, { kind: 'reply', code: 451 }],
    ['refused at RCPT', { RCPT: '452 later' }, { kind: 'reply', code: 452 }],
    ['refused at DATA', { DATA: '451 later' }, { kind: 'reply', code: 451 }],
    ['refused after the dot', { dot: '452 full' }, { kind: 'reply', code: 452 }],
    ['never taken', { RCPT: '550 no' }, { kind: 'reply', code: 550 }],
    ['421 in place of a reply', { MAIL: (s) => void s.end('421 bye\r\n') }, { kind: 'reply', code: 421 }],
    ['reset at MAIL', { MAIL: reset }, { kind: 'lost', reason: 'ECONNRESET' }],
    ['reset after the dot', { dot: reset }, { kind: 'lost', reason: 'ECONNRESET' }],
    ['closed without a word', { MAIL: close }, { kind: 'lost', reason: 'ECONNECTION' }],
  ]
  for (const [name, script, expected] of cases) {
    test(name, async () => {
      const { opened, lost } = await open(script)
      assert.deepEqual(await session(opened).send(message), expected)
      await sleep(20)
      assert.deepEqual(lost, [], 'what a send has told is not told again')
    })
  }

  test('refused at the greeting', async () => {
    const { opened } = await open({ greeting: '421 too many' })
    assert.deepEqual(opened, { kind: 'reply', code: 421 })
  })

  test('reset at the greeting', async () => {
    const { opened } = await open({ greeting: reset })
    assert.deepEqual(opened, { kind: 'lost', reason: 'ECONNRESET' })
  })

  test('nobody listens', async () => {
    const { listener } = server({})
    await once(listener, 'listening')
    const { port } = listener.address() as AddressInfo
    listener.close()
    await once(listener, 'close')
    const options = { host: '127.0.0.1', port, localAddress: '127.0.1.1', name: 'mta.example' }
    assert.deepEqual(await openSession(options, assert.fail), { kind: 'lost', reason: 'ECONNREFUSED' })
  })
})

suite('an idle session', () => {
  const cases: [name: string, end: (socket: Socket) => void, lost: string[]][] = [
    ['421 and closed: polite', (socket) => void socket.end('421 4.3.2 going down\r\n'), []],
    ['closed without a word', close, ['closed without 421']],
    ['reset', reset, ['ECONNRESET']],
  ]
  for (const [name, end, expected] of cases) {
    test(name, async () => {
      const { opened, lost, sockets } = await open({})
      const idle = session(opened)
      assert.deepEqual(await idle.send(message), { kind: 'accepted' })
      assert.equal(idle.isOpen(), true)
      for (const socket of sockets) end(socket)
      for (let tries = 0; tries < 100 && idle.isOpen(); tries += 1) await sleep(10)
      assert.equal(idle.isOpen(), false)
      assert.deepEqual(lost, expected)
    })
  }

  test('our own QUIT is no loss', async () => {
    const { opened, lost } = await open({ QUIT: (socket) => void socket.end('221 bye\r\n') })
    session(opened).quit()
    await sleep(50)
    assert.deepEqual(lost, [])
  })
})
