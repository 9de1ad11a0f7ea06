// The mailbox over a real connection: messages by their id, in any order, and a refusal while it is told to.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openMailbox } from '../../mailkit/mailbox.ts'
import { openSession } from '../../mailkit/smtp-client.ts'
import { ALIAS, SENDER, testMessage } from '../../images/boot/test-message.ts'

const GREETING_MS = 30_000

test('a message is found by its id, before it comes and after', async () => {
  const mailbox = await openMailbox()
  const signal = AbortSignal.timeout(60_000)
  const session = await openSession(mailbox.port, GREETING_MS)
  const early = mailbox.arrival('first', signal)
  await session.send({ from: SENDER, to: ALIAS }, testMessage('first', new Date()))
  assert.equal((await early).mailFrom, SENDER)
  assert.equal((await mailbox.arrival('first', signal)).recipients[0], ALIAS)
  assert.equal(mailbox.hasArrived('second'), false)
  mailbox.refuse(true)
  await assert.rejects(session.send({ from: SENDER, to: ALIAS }, testMessage('second', new Date())), /451/)
  session.close()
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
