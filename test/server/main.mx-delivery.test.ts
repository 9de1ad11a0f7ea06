// Delivery by MX over real DNS and real hosts, on loopback.
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { test } from 'node:test'
import { startServer } from '../kit/server/server-process.ts'
import { startSmtpSink } from '../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail } from '../../mailkit/smtp-dialog.ts'

const TYPES = { a: 1, mx: 15 }

type Record = { type: keyof typeof TYPES; value: Buffer }

function nameBytes(name: string): Buffer {
  return Buffer.concat([
    ...name.split('.').map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`)),
    Buffer.alloc(1),
  ])
}

const a = (address: string): Record => ({ type: 'a', value: Buffer.from(address.split('.').map(Number)) })
const mx = (priority: number, name: string): Record => ({
  type: 'mx',
  value: Buffer.concat([Buffer.from([0, priority]), nameBytes(name)]),
})

/** A DNS server with a few names, and the parts of RFC 1035 section 4 that they need. */
async function startDns(zone: { [name: string]: Record[] }) {
  const socket = createSocket('udp4')
  socket.on('message', (query, peer) => {
    const labels: string[] = []
    let at = 12
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length))
      at += 1 + length
    }
    const type = query.readUInt16BE(at + 1)
    const records = zone[labels.join('.').toLowerCase()]
    const found = (records ?? []).filter((record) => TYPES[record.type] === type)
    const header = Buffer.alloc(12)
    query.copy(header, 0, 0, 2)
    header.writeUInt16BE(0x8180 | (records === undefined ? 3 : 0), 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(found.length, 6)
    const answers = found.map(({ value }) => {
      const fixed = Buffer.alloc(12)
      fixed.writeUInt16BE(0xc00c, 0)
      fixed.writeUInt16BE(type, 2)
      fixed.writeUInt16BE(1, 4)
      fixed.writeUInt32BE(60, 6)
      fixed.writeUInt16BE(value.length, 10)
      return Buffer.concat([fixed, value])
    })
    socket.send(Buffer.concat([header, query.subarray(12, at + 5), ...answers]), peer.port, peer.address)
  })
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  return { server: `127.0.0.1:${socket.address().port}`, close: () => socket.close() }
}

test('the next MX gets mail when the best is down; without MX the domain is the host; an unknown domain fails', async () => {
  const sink = await startSmtpSink()
  const dns = await startDns({
    'b.example': [mx(10, 'down.b.example'), mx(20, 'up.b.example')],
    'down.b.example': [a('127.0.0.2')],
    'up.b.example': [a('127.0.0.1')],
    'd.example': [a('127.0.0.1')],
    'sender.example': [mx(1, 'up.b.example')],
  })
  const delivery = { mxPort: sink.port, dnsServers: [dns.server], allowLocalAddresses: true, dnsMs: 2_000 }
  const instance = await startServer({ config: { delivery } })
  const dialog = await openGreetedDialog(instance.port)
  await sendMail(dialog, { to: ['team@example.org'] })
  const mail = await sink.received(3)
  assert.deepEqual(mail.map(({ to }) => to.join()).sort(), [
    'a@b.example',
    'alice@sender.example',
    'c@d.example',
  ])
  const dsn = mail.find(({ from }) => from === '')
  assert.match(dsn?.text ?? '', /no such domain/)
  assert.equal((await instance.logged('failed'))['destination'], 'e@f.example')
  dialog.end()
  assert.equal(await instance.stop(), 0)
  dns.close()
  await sink.close()
})

test('an MX that points to this machine is not used', async () => {
  const sink = await startSmtpSink()
  const dns = await startDns({ 'b.example': [a('127.0.0.1')] })
  const instance = await startServer({
    config: { delivery: { mxPort: sink.port, dnsServers: [dns.server] } },
  })
  const dialog = await openGreetedDialog(instance.port)
  await sendMail(dialog, { to: ['info@example.org'] })
  assert.equal((await instance.logged('deferred'))['status'], '4.4.4')
  dialog.end()
  assert.equal(await instance.stop(), 0)
  assert.equal(sink.connections(), 0)
  dns.close()
  await sink.close()
})
