// What the boot test demands of the forwarded message, and the real SMTP on both sides of the guest.
import assert from 'node:assert/strict'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import { openSession, submitUntilAccepted } from '../../../mailkit/smtp-client.ts'
import { startSink, type Received } from '../../../mailkit/sink.ts'
import {
  ALIAS,
  DESTINATION,
  forwardProblems,
  SENDER,
  SRS_DOMAIN,
  testMessage,
} from '../../../images/boot/test-message.ts'

const sent = testMessage('1234', new Date('2026-01-31T12:00:00Z'))
const added =
  'Received: from sender.origin.example (sender.origin.example [10.0.2.2])\r\n\tby mx1.forwarder.example with ESMTP\r\n'
const good: Received = {
  mailFrom: `SRS0=abcd=12=origin.example=sender@${SRS_DOMAIN}`,
  recipients: [DESTINATION],
  raw: Buffer.concat([Buffer.from(added), sent]),
}

test('a message forwarded well has no problems', () => {
  assert.deepEqual(forwardProblems(sent, good), [])
})

test('each way of forwarding badly is named', () => {
  const problem = (changed: Partial<Received>) => forwardProblems(sent, { ...good, ...changed }).join()
  assert.match(problem({ mailFrom: SENDER }), /not rewritten/)
  assert.match(problem({ mailFrom: '' }), /not rewritten/)
  assert.match(problem({ recipients: [ALIAS] }), /rather than/)
  assert.match(problem({ raw: sent }), /no Received field/)
  const spoiled = Buffer.from(good.raw.toString().replace('Blanks at the end:  \t ', 'Blanks at the end:'))
  assert.match(problem({ raw: spoiled }), /not intact/)
  assert.match(problem({ raw: Buffer.alloc(0) }), /not intact/)
})

test('what is submitted arrives at a sink byte for byte', async () => {
  const received: Received[] = []
  const sink = await startSink((message) => received.push(message))
  const session = await openSession(sink.port, 5_000)
  await session.send({ from: SENDER, to: ALIAS }, sent)
  session.close()
  await sink.close()
  assert.deepEqual(received, [{ mailFrom: SENDER, recipients: [ALIAS], raw: sent }])
})

test('a refusing sink takes nothing until it is told to', async () => {
  const received: Received[] = []
  let refusing = true
  const sink = await startSink(
    (message) => received.push(message),
    () => refusing,
  )
  const send = async () => {
    const session = await openSession(sink.port, 5_000)
    await session.send({ from: SENDER, to: ALIAS }, sent).finally(() => session.close())
  }
  await assert.rejects(send(), /4\.3\.2 not now/)
  assert.equal(received.length, 0)
  refusing = false
  await send()
  await sink.close()
  assert.equal(received.length, 1)
})

test('submitting goes on until someone greets, and stops when told to', async () => {
  // As QEMU's forwarded port before the guest is up: takes connections and closes them unanswered.
  const silent = createServer((socket) => socket.on('error', () => {}).end())
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const stop = new AbortController()
  setTimeout(() => stop.abort(new Error('enough')), 300)
  await assert.rejects(submitUntilAccepted(port, { from: SENDER, to: ALIAS }, sent, stop.signal))
  silent.close()
  assert.ok(stop.signal.aborted)
})
