// What an attempt stores between two hosts, on a real queue. The process may die in the second transaction, so the queue
// must hold the first host's reply by then.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { attempt, type AttemptContext } from '../../../server/delivery/attempt.ts'
import type { DeliveryResult } from '../../../server/delivery/delivery-result.ts'
import { openEmbeddedQueue, type EmbeddedQueue } from '../../../server/queue/embedded/engine.ts'
import type { Destination } from '../../../server/queue/entry.ts'
import { SECRET, testFolder } from '../../kit/server/server-process.ts'

const LEASE_MS = 5_000
const LIFETIME_MS = 1_000_000
const DELIVERED: DeliveryResult = { kind: 'delivered', reply: '250 ok', status: '2.0.0', remoteHost: 'mx' }
const DEFERRED: DeliveryResult = {
  kind: 'deferred',
  why: 'remote',
  reply: '451 later',
  status: '4.0.0',
  remoteHost: 'mx',
}
const FAILED: DeliveryResult = { kind: 'failed', reply: '550 5.1.1 no', status: '5.1.1', remoteHost: 'mx' }

const holdOn = (isLost: () => boolean) => ({ signal: new AbortController().signal, isLost })

function pendingAt(address: string): Destination {
  return {
    address,
    originalRecipient: 'info@example.org',
    state: 'pending',
    reply: '',
    status: '',
    remoteHost: '',
  }
}

/** An entry for these mailboxes, and attempts at it. `outcomes`: what a mailbox's host says; without one it dies. */
async function entryFor(
  t: TestContext,
  addresses: string[],
  outcomes: Record<string, DeliveryResult>,
  reversePath = 'alice@sender.example',
) {
  let nowMs = Date.now()
  const queue = await openEmbeddedQueue({
    path: join(testFolder(), 'spool'),
    maxEntries: 10,
    maxBytes: 1_000_000,
    volatile: true,
    now: () => nowMs,
  })
  t.after(() => queue.close())
  await queue.enqueue(
    {
      reversePath,
      destinations: addresses.map(pendingAt),
      sizeBytes: 0,
      acceptedMs: nowMs,
      dueMs: nowMs,
      expiresMs: nowMs + LIFETIME_MS,
      eightBit: false,
      smtpUtf8: false,
    },
    Buffer.from('Subject: x\r\n\r\nx\r\n'),
  )
  const sent: string[] = []
  const transactions: number[] = []
  const context: Omit<AttemptContext, 'hold'> = {
    queue,
    deliver: (_domain, { recipients }) => {
      if (recipients.some((recipient) => outcomes[recipient] === undefined))
        return Promise.reject(new Error('the process died'))
      sent.push(...recipients)
      transactions.push(recipients.length)
      return Promise.resolve(new Map(recipients.map((recipient) => [recipient, outcomes[recipient]!])))
    },
    sendersMailboxes: (sender) => [sender],
    srs: { domain: 'srs.example.com', secrets: [SECRET] },
    hostname: 'mx1.example.net',
    retry: { firstMs: 1_000, maxMs: 4_000, jitter: 0, lifetimeMs: 10_000 },
    relayed: false,
    now: () => nowMs,
    random: () => 0.5,
  }
  return {
    sent,
    transactions,
    context,
    lease: async () => (await queue.lease(10, LEASE_MS))[0],
    attempt: () => attemptOnce(queue, context),
    letLeaseExpire: () => (nowMs += LEASE_MS + 1),
    letTimeRunOut: () => (nowMs += LIFETIME_MS),
    entries: () => queue.stats().entries,
  }
}

async function attemptOnce(queue: EmbeddedQueue, context: Omit<AttemptContext, 'hold'>) {
  const lease = (await queue.lease(1, LEASE_MS))[0]!
  return attempt(lease, { ...context, hold: holdOn(() => !queue.holds(lease)) })
}

test('the acknowledgement of one host is stored before the next host is contacted', async (t) => {
  const outcomes: Record<string, DeliveryResult> = { 'a@b.example': DELIVERED }
  const entry = await entryFor(t, ['a@b.example', 'c@d.example'], outcomes)
  await assert.rejects(entry.attempt(), /the process died/)
  entry.letLeaseExpire()
  const stored = (await entry.lease())?.entry.destinations.map(({ address, state, reply }) => [
    address,
    state,
    reply,
  ])
  assert.deepEqual(stored, [
    ['a@b.example', 'delivered', '250 ok'],
    ['c@d.example', 'pending', ''],
  ])
  entry.letLeaseExpire()
  outcomes['c@d.example'] = DELIVERED
  const { settled } = await entry.attempt()
  assert.equal(settled, true)
  assert.deepEqual(entry.sent, ['a@b.example', 'c@d.example'])
  assert.equal(entry.entries(), 0)
})

test('a failed destination stays pending until its DSN is queued, even if the process dies in between', async (t) => {
  const outcomes: Record<string, DeliveryResult> = { 'a@b.example': DELIVERED, 'gone@b.example': FAILED }
  const entry = await entryFor(t, ['a@b.example', 'gone@b.example', 'c@d.example'], outcomes)
  await assert.rejects(entry.attempt(), /the process died/)
  entry.letLeaseExpire()
  outcomes['c@d.example'] = DELIVERED
  const { dsn, results } = await entry.attempt()
  assert.equal(dsn, 'queued')
  assert.deepEqual(
    results.map(({ destination }) => [destination.address, destination.state]),
    [
      ['gone@b.example', 'failed'],
      ['c@d.example', 'delivered'],
    ],
  )
  const notice = (await entry.lease())?.entry
  assert.equal(notice?.reversePath, '')
  assert.deepEqual(
    notice.destinations.map(({ address }) => address),
    ['alice@sender.example'],
  )
})

test('a record that the queue refuses ends the attempt before the next host', async (t) => {
  const entry = await entryFor(t, ['a@b.example', 'c@d.example'], {
    'a@b.example': DELIVERED,
    'c@d.example': DELIVERED,
  })
  // The holder does not know, so that only the queue can tell it that the lease is lost.
  const hold = holdOn(() => false)
  const held = await entry.lease()
  assert.ok(held)
  entry.letLeaseExpire()
  assert.ok(await entry.lease())
  const { settled } = await attempt(held, { ...entry.context, hold })
  assert.equal(settled, false)
  assert.deepEqual(entry.sent, ['a@b.example'])
})

test('a bounce that fails is removed without a DSN', async (t) => {
  const entry = await entryFor(t, ['a@b.example'], { 'a@b.example': FAILED }, '')
  const { dsn, nextMs } = await entry.attempt()
  assert.deepEqual({ dsn, nextMs }, { dsn: 'no-return-path', nextMs: null })
  assert.equal(entry.entries(), 0)
})

test('a destination still deferred at its expiry fails with a DSN', async (t) => {
  const entry = await entryFor(t, ['a@b.example'], { 'a@b.example': DEFERRED })
  let { dsn, nextMs } = await entry.attempt()
  // An envelope gets a few attempts at least, however late it is.
  for (let attempts = 1; nextMs !== null && attempts < 10; attempts++) {
    entry.letTimeRunOut()
    ;({ dsn, nextMs } = await entry.attempt())
  }
  assert.deepEqual({ dsn, nextMs }, { dsn: 'queued', nextMs: null })
  const notice = (await entry.lease())?.entry
  assert.equal(notice?.reversePath, '')
  assert.equal(entry.entries(), 1)
})

test('a host gets at most 50 recipients in one transaction', async (t) => {
  const addresses = Array.from({ length: 101 }, (_, n) => `a${n}@b.example`)
  const entry = await entryFor(t, addresses, Object.fromEntries(addresses.map((one) => [one, DELIVERED])))
  await entry.attempt()
  assert.deepEqual(entry.transactions, [50, 50, 1])
  assert.deepEqual(entry.sent, addresses)
})
