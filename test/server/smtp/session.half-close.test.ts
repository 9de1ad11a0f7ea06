// A client that closes its side after its last command gets every reply, and then the server closes.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { startServer } from '../../kit/server/server-process.ts'
import { startSmtpSink } from '../../../mailkit/smtp-sink.ts'

const MESSAGE = 'Subject: x\r\n\r\nx\r\n.\r\n'
const COMMANDS =
  'HELO client.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<info@example.org>\r\nDATA\r\n'

/** Sends `text` after the greeting and closes its side. @returns the codes of all replies, once the server closes */
async function halfClosed(port: number, text: string): Promise<string[]> {
  const signal = AbortSignal.timeout(20_000)
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, signal })
  let replies = ''
  socket.once('data', () => socket.end(text))
  for await (const chunk of socket) replies += String(chunk)
  return replies
    .trim()
    .split('\r\n')
    .map((line) => line.slice(0, 3))
}

async function server(t: TestContext) {
  const sink = await startSmtpSink()
  t.after(() => sink.close())
  return {
    sink,
    ...(await startServer({ config: { delivery: { relay: { host: '127.0.0.1', port: sink.port } } } })),
  }
}

for (const [name, ending] of [
  ['QUIT', 'QUIT\r\n'],
  ['the dot', ''],
] as const)
  test(`half-closed after ${name}: the client gets its 250, and the message is forwarded`, async (t) => {
    const { sink, port, stop } = await server(t)
    const codes = await halfClosed(port, `${COMMANDS}${MESSAGE}${ending}`)
    assert.deepEqual(codes, ['220', '250', '250', '250', '354', '250', ...(ending === '' ? [] : ['221'])])
    await sink.received(1)
    assert.equal(await stop(), 0)
  })

test('half-closed at once, or during a message: the server closes and accepts nothing', async (t) => {
  const { sink, port, metric, stop } = await server(t)
  assert.deepEqual(await halfClosed(port, ''), ['220'])
  assert.deepEqual(await halfClosed(port, 'NOOP\r\n'), ['220', '250'])
  const codes = await halfClosed(port, `${COMMANDS}Subject: x\r\n\r\nhalf a mess`)
  assert.deepEqual(codes, ['220', '250', '250', '250', '354'])
  assert.equal(await metric('mailfleet_messages_accepted_total'), 0)
  assert.equal(sink.mail.length, 0)
  assert.equal(await stop(), 0)
})
