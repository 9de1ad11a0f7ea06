// The limit of bounces to one SRS address, and the limit of the table of counts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rewriteSrs } from '../../../server/delivery/srs.ts'
import { createBounceLimit } from '../../../server/smtp/bounce-limit.ts'
import { SECRET, startServer } from '../../kit/server/server-process.ts'
import { openGreetedDialog } from '../../../mailkit/smtp-dialog.ts'

test('each address has its own hour and count, in any case', () => {
  const { admits } = createBounceLimit(2)
  assert.deepEqual(
    [admits('a@x', 0), admits('A@x', 1), admits('a@x', 2), admits('b@x', 2), admits('a@x', 3_600_000)],
    [true, true, false, true, true],
  )
})

test('a clock set back starts a new hour', () => {
  const { admits } = createBounceLimit(1)
  assert.deepEqual([admits('a@x', 1_000), admits('a@x', 1_001), admits('a@x', 5)], [true, false, true])
})

test('a full table forgets its oldest address', () => {
  const { admits } = createBounceLimit(1)
  for (let n = 0; n < 10_001; n++) assert.equal(admits(`a${n}@x`, 0), true)
  assert.equal(admits('a10000@x', 0), false)
  assert.equal(admits('a0@x', 0), true)
})

test('an SRS address at its limit gets 450; other addresses do not', async () => {
  const instance = await startServer({ config: { limits: { bouncesPerHour: 1 } } })
  const dialog = await openGreetedDialog(instance.port)
  const srs = { domain: 'srs.example.com', secrets: [SECRET] }
  const rcpt = async (sender: string) => {
    await dialog.say('RSET')
    await dialog.say('MAIL FROM:<>')
    return dialog.say(`RCPT TO:<${rewriteSrs(srs, sender, Date.now())}>`)
  }
  assert.match((await rcpt('alice@sender.example')) ?? '', /^250 /)
  assert.match((await rcpt('alice@sender.example')) ?? '', /^450 4\.7\.1 /)
  assert.match((await rcpt('bob@sender.example')) ?? '', /^250 /)
  dialog.end()
  assert.equal(await instance.stop(), 0)
})
