// STARTTLS: offered to clients, used with hosts that offer it, and skipped where it fails.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { SMTPServer } from 'smtp-server'
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import { createConnections } from '../../../server/delivery/connection-pool.ts'
import { startServer } from '../../kit/server/server-process.ts'
import { startSmtpSink } from '../../../mailkit/smtp-sink.ts'

const files = join(import.meta.dirname, '../../fixtures/tls')
const tls = { keyFile: join(files, 'key.pem'), certFile: join(files, 'cert.pem') }

const OPTIONS = {
  hostname: 'mx1.example.net',
  connectMs: 5_000,
  greetingMs: 5_000,
  socketMs: 5_000,
  idleMs: 1_000,
  messagesPerConnection: 10,
  maxIdle: 2,
}

const hopTo = (port: number) => ({ name: 'mx.b.example', address: '127.0.0.1', port })

test('a client may use STARTTLS, and the Received field says so', { timeout: 60_000 }, async () => {
  const sink = await startSmtpSink()
  const config = { tls, delivery: { relay: { host: '127.0.0.1', port: sink.port } } }
  const instance = await startServer({ config })
  const client = new SMTPConnection({
    host: '127.0.0.1',
    port: instance.port,
    name: 'client.example',
    requireTLS: true,
    tls: { rejectUnauthorized: false },
  })
  await new Promise<void>((resolve, reject) => client.connect((error) => (error ? reject(error) : resolve())))
  assert.equal(client.secure, true)
  await new Promise<void>((resolve, reject) => {
    client.send({ from: 'a@sender.example', to: 'info@example.org' }, 'Subject: x\r\n\r\nx\r\n', (error) =>
      error ? reject(error) : resolve(),
    )
  })
  assert.equal(await instance.metric('mailfleet_smtp_connections'), 1)
  client.quit()
  const [mail] = await sink.received(1)
  assert.match(mail?.text ?? '', /with ESMTPS id /)
  // If an ended TLS session still counted as open, the drain would wait and the test would time out.
  while ((await instance.metric('mailfleet_smtp_connections')) !== 0) await sleep(10)
  assert.equal(await instance.stop(), 0)
  await sink.close()
})

test('REQUIRETLS, which is not offered, is refused', { timeout: 60_000 }, async () => {
  const instance = await startServer({ config: { tls } })
  const plain = connect(instance.port, '127.0.0.1')
  const said = async (socket: Socket, command: string) => {
    socket.write(command)
    const [reply] = (await once(socket, 'data')) as [Buffer]
    return reply.toString()
  }
  await once(plain, 'data')
  await said(plain, 'EHLO client.example\r\n')
  assert.match(await said(plain, 'STARTTLS\r\n'), /^220 /)
  const secure = connectTls({ socket: plain, rejectUnauthorized: false })
  await once(secure, 'secureConnect')
  assert.doesNotMatch(await said(secure, 'EHLO client.example\r\n'), /REQUIRETLS/)
  assert.match(await said(secure, 'MAIL FROM:<a@sender.example> REQUIRETLS\r\n'), /^555 5\.7\.10 /)
  assert.match(await said(secure, 'MAIL FROM:<a@sender.example>\r\n'), /^250 /)
  secure.destroy()
  assert.equal(await instance.stop(), 0)
})

test('the server uses STARTTLS with a host that offers it, with any certificate', async () => {
  const server = new SMTPServer({
    key: readFileSync(tls.keyFile),
    cert: readFileSync(tls.certFile),
    disabledCommands: ['AUTH'],
    logger: false,
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const connections = createConnections(OPTIONS)
  const connection = await connections.open(hopTo((server.server.address() as AddressInfo).port))
  assert.equal(connection.smtp.secure, true)
  connections.keep(connection)
  assert.equal(connections.take(connection.host), connection)
  assert.equal(connections.take(connection.host), null)
  connection.smtp.quit()
  await new Promise<void>((resolve) => server.close(resolve))
})

test('the server delivers without TLS to a host whose TLS is broken', async () => {
  let upgrades = 0
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.write('220 broken.example\r\n')
    socket.on('data', (data) => {
      const text = data.toString()
      if (/^EHLO/.test(text)) socket.write('250-broken.example\r\n250 STARTTLS\r\n')
      else if (/^STARTTLS/.test(text)) {
        upgrades++
        socket.end('220 go ahead\r\nthis is no TLS\r\n')
      } else socket.write('250 ok\r\n')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  server.unref()
  const connections = createConnections(OPTIONS)
  const connection = await connections.open(hopTo((server.address() as AddressInfo).port))
  assert.equal(connection.smtp.secure, false)
  assert.equal(upgrades, 1)
  connection.smtp.close()
  server.close()
})
