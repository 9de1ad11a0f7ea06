// A lease that is lost while its message is sent: nothing is delivered, unless the final dot was sent.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createConnections } from '../../../server/delivery/connection-pool.ts'
import type { LeaseGuard } from '../../../server/delivery/lease-keeper.ts'
import { LeaseLostError, send } from '../../../server/delivery/send.ts'
import { createHostBackOff } from '../../../server/delivery/host-back-off.ts'
import {
  mxReplies,
  describeOutcome,
  ENVELOPE,
  startFakeMxHost,
  MESSAGE,
  CONNECTION_OPTIONS,
} from '../../kit/server/fake-mx-host.ts'

/** Longer than the runner waits: a transaction that only ends by a timeout fails its test. */
const NEVER_MS = 40_000
const WITHIN = { timeout: 10_000 }

/** A lease that is lost when the test says so. */
function losable() {
  const aborting = new AbortController()
  const hold: LeaseGuard = { signal: aborting.signal, isLost: () => aborting.signal.aborted }
  return { hold, lose: () => aborting.abort() }
}

/** Sends to a host that answers by `answer`. @returns how it ended, and the messages that the host has taken. */
async function sendWhile(hold: LeaseGuard, answer: (line: string) => string | null, message = MESSAGE) {
  const one = await startFakeMxHost(answer)
  const connections = createConnections({ ...CONNECTION_OPTIONS, socketMs: NEVER_MS, greetingMs: NEVER_MS })
  const transport = { connections, hostBackOff: createHostBackOff(), transactionMs: NEVER_MS }
  const hosts = [{ name: 'mx.b.example', address: '127.0.0.1', port: one.port }]
  const results = await send(transport, hosts, { envelope: ENVELOPE, message, hold }).then(
    (outcomes) => describeOutcome(outcomes.get('a@b.example')),
    (error: unknown) => (error instanceof LeaseLostError ? 'lost' : String(error)),
  )
  connections.close()
  one.close()
  return [results, one.messages]
}

for (const step of ['greeting', 'EHLO', 'MAIL', 'RCPT', 'DATA']) {
  test(
    `a lease lost while the host does not answer ${step} ends the transaction, and nothing is delivered`,
    WITHIN,
    async () => {
      const { hold, lose } = losable()
      const usual = mxReplies()
      const silentAt = (line: string) => {
        if (!line.startsWith(step)) return usual(line)
        setImmediate(lose)
        return ''
      }
      assert.deepEqual(await sendWhile(hold, silentAt), ['lost', 0])
    },
  )
}

test('an expired lease is noticed before the message is sent, without asking the queue', async () => {
  let expired = false
  const hold: LeaseGuard = { signal: new AbortController().signal, isLost: () => expired }
  const usual = mxReplies()
  const expiring = (line: string) => {
    if (line === 'DATA') expired = true
    return usual(line)
  }
  assert.deepEqual(await sendWhile(hold, expiring), ['lost', 0])
})

test('a lease that expires during a large message is noticed before the final dot', async () => {
  const size = 8 * 1024 * 1024
  let looks = 0
  const hold: LeaseGuard = { signal: new AbortController().signal, isLost: () => ++looks > 20 }
  const usual = mxReplies({ EHLO: '250 mx.b.example' })
  assert.deepEqual(await sendWhile(hold, usual, [Buffer.alloc(size, 'x\r\n')]), ['lost', 0])
  assert.equal(looks > 20, true)
})

test('the reply is awaited when the lease is lost after the final dot', async () => {
  const { hold, lose } = losable()
  const usual = mxReplies()
  const late = (line: string) => {
    if (line === '.') lose()
    return usual(line)
  }
  assert.deepEqual(await sendWhile(hold, late), ['delivered 2.0.0', 1])
})
