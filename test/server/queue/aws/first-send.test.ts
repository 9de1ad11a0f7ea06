// The first send of a message over real connections that fail. It is repeated only when SQS cannot have the message.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { SQSClient, SendMessageCommand } from '@aws-sdk/client-sqs'
import { isUnsent, sendFirst } from '../../../../server/queue/aws/first-send.ts'

/** A service that treats each connection like this. @returns its port, and how many there were. */
async function service(t: TestContext, treat: (socket: Socket) => void) {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.on('error', () => {})
    treat(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { port: (server.address() as AddressInfo).port, connections: () => connections }
}

/** Sends a message to `endpoint`. @returns the error, and how often it was sent. */
async function failing(endpoint: string) {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  const client = new SQSClient({ region: 'eu-west-1', credentials, maxAttempts: 1, endpoint })
  let sends = 0
  const send = () => {
    sends++
    return client.send(new SendMessageCommand({ QueueUrl: `${endpoint}/0/q`, MessageBody: 'x' }))
  }
  const error: unknown = await sendFirst(send).then(
    () => null,
    (reason: unknown) => reason,
  )
  client.destroy()
  return { error, sends }
}

test('a message is sent three times when the connection is refused', async () => {
  const { error, sends } = await failing('http://127.0.0.1:1')
  assert.equal(sends, 3)
  assert.equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED')
})

test('a message is sent three times when the TLS handshake fails', async (t) => {
  const cut = await service(t, (socket) => socket.once('data', () => socket.destroy()))
  assert.equal((await failing(`https://127.0.0.1:${cut.port}`)).sends, 3)
  assert.equal(cut.connections(), 3)
  const plain = await service(t, (socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad\r\n\r\n')),
  )
  assert.equal((await failing(`https://127.0.0.1:${plain.port}`)).sends, 3)
})

test('a message is sent three times after a 503', async (t) => {
  const busy = await service(t, (socket) =>
    socket.once('data', () =>
      socket.end('HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'),
    ),
  )
  assert.equal((await failing(`http://127.0.0.1:${busy.port}`)).sends, 3)
})

test('a message is sent once after a broken connection or a 500, since SQS may have taken it', async (t) => {
  const cut = await service(t, (socket) => socket.once('data', () => socket.destroy()))
  assert.equal((await failing(`http://127.0.0.1:${cut.port}`)).sends, 1)
  const broken = await service(t, (socket) =>
    socket.once('data', () =>
      socket.end('HTTP/1.1 500 Broken\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'),
    ),
  )
  assert.equal((await failing(`http://127.0.0.1:${broken.port}`)).sends, 1)
})

test('no send follows a successful one', async () => {
  let sends = 0
  await sendFirst(() => {
    sends++
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    return sends < 3 ? Promise.reject(refused) : Promise.resolve()
  })
  assert.equal(sends, 3)
})

test('a timeout of the answer, a reset and a denial do not prove that SQS has no message', () => {
  const timeOut = Object.assign(new Error('the request timed out'), { name: 'TimeoutError' })
  const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
  const denied = Object.assign(new Error('no'), { $metadata: { httpStatusCode: 403 } })
  for (const error of [timeOut, reset, denied, 'no error']) assert.equal(isUnsent(error), false)
})
