// The boot test's checks of the forwarded message, with real SMTP on both sides of the guest.
import assert from 'node:assert/strict'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import { acceptedReply, sendOnce, submitUntilAccepted } from '../../../mailkit/smtp-client.ts'
import { receivedMessage, startSmtpSink, type ReceivedMessage } from '../../../mailkit/smtp-sink.ts'
import {
  ALIAS,
  DESTINATION,
  forwardProblems,
  SENDER,
  SRS_DOMAIN,
  testMessage,
} from '../../../images/boot/test-message.ts'

type Forwarded = Pick<ReceivedMessage, 'from' | 'to' | 'raw'>

const sent = testMessage('1234', new Date('2026-01-31T12:00:00Z'))
const mail = { from: SENDER, to: [ALIAS], raw: sent }
const added =
  'Received: from sender.origin.example (sender.origin.example [10.0.2.2])\r\n\tby mx1.forwarder.example with ESMTP\r\n'
const good: Forwarded = {
  from: `SRS0=abcd=12=origin.example=sender@${SRS_DOMAIN}`,
  to: [DESTINATION],
  raw: Buffer.concat([Buffer.from(added), sent]),
}

test('a message forwarded well has no problems', () => {
  assert.deepEqual(forwardProblems(sent, good), [])
})

test('each way of forwarding badly is named', () => {
  const problem = (changed: Partial<Forwarded>) => forwardProblems(sent, { ...good, ...changed }).join()
  assert.match(problem({ from: SENDER }), /not rewritten/)
  assert.match(problem({ from: '' }), /not rewritten/)
  assert.match(problem({ to: [ALIAS] }), /rather than/)
  assert.match(problem({ raw: sent }), /no Received field/)
  const spoiled = Buffer.from(good.raw.toString().replace('Blanks at the end:  \t ', 'Blanks at the end:'))
  assert.match(problem({ raw: spoiled }), /not intact/)
  assert.match(problem({ raw: Buffer.alloc(0) }), /not intact/)
})

test('what is submitted arrives at a sink byte for byte', async () => {
  const sink = await startSmtpSink()
  acceptedReply(await sendOnce({ port: sink.port }, mail))
  await sink.close()
  assert.deepEqual(sink.mail, [receivedMessage(SENDER, [ALIAS], sent)])
})

test('a sink that refuses keeps nothing until it accepts', async () => {
  let refusing = true
  const sink = await startSmtpSink({ rcpt: () => (refusing ? '451 4.3.2 not now' : null) })
  const refused = await sendOnce({ port: sink.port }, mail)
  assert.deepEqual(refused, { kind: 'refused', code: 451, reply: '451 4.3.2 not now' })
  assert.equal(sink.mail.length, 0)
  refusing = false
  acceptedReply(await sendOnce({ port: sink.port }, mail))
  await sink.close()
  assert.equal(sink.mail.length, 1)
})

test('submitUntilAccepted retries until the server greets, and stops by its signal', async () => {
  // Like QEMU's forwarded port before the guest is up: it accepts connections and closes them without an answer.
  const silent = createServer((socket) => socket.on('error', () => {}).end())
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const stop = new AbortController()
  setTimeout(() => stop.abort(new Error('enough')), 300)
  await assert.rejects(submitUntilAccepted(port, mail, stop.signal))
  silent.close()
  assert.ok(stop.signal.aborted)
})
