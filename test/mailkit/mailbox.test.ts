// The mailbox over a real connection: messages by their id, in any order, and a refusal while it is told to.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openMailbox } from '../../mailkit/mailbox.ts'
import { acceptedReply, createSmtpClient } from '../../mailkit/smtp-client.ts'
import { ALIAS, SENDER, testMessage } from '../../images/boot/test-message.ts'

test('a message is found by its id, before it comes and after', async () => {
  const mailbox = await openMailbox()
  const signal = AbortSignal.timeout(60_000)
  const client = createSmtpClient({ port: mailbox.port })
  const mail = (id: string) => ({ from: SENDER, to: [ALIAS], raw: testMessage(id, new Date()) })
  const early = mailbox.arrival('first', signal)
  acceptedReply(await client.send(mail('first')))
  assert.equal((await early).from, SENDER)
  assert.equal((await mailbox.arrival('first', signal)).to[0], ALIAS)
  assert.equal(mailbox.hasArrived('second'), false)
  mailbox.refuse(true)
  const reply = '451 4.3.2 not now'
  assert.deepEqual(await client.send(mail('second')), { kind: 'refused', code: 451, reply })
  client.close()
  await mailbox.close()
})

test('waiting ends by the signal', async () => {
  const mailbox = await openMailbox()
  const stopping = new AbortController()
  const waiting = mailbox.arrival('never', stopping.signal)
  stopping.abort(new Error('stopped'))
  await assert.rejects(waiting, /stopped/)
  await assert.rejects(mailbox.arrival('never', stopping.signal), /stopped/)
  await mailbox.close()
})
