// The reply to the final dot depends on the queue's promise, which the test keeps pending.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import type { SMTPServerAddress, SMTPServerDataStream, SMTPServerSession } from 'smtp-server'
import { checkConfig } from '../../../server/config/schema.ts'
import { createMetrics } from '../../../server/metrics.ts'
import { QueueFullError } from '../../../server/queue/queue.ts'
import { parseRoutes } from '../../../server/routing/table.ts'
import { createTransactions } from '../../../server/smtp/transaction.ts'
import { SECRET } from '../../kit/server/server-process.ts'

const STATS = {
  ready: 0,
  inFlight: 0,
  deferred: 0,
  oldestReadyMs: 0,
  unknownVersion: 0,
  entries: 0,
  bytes: 0,
}

/** Sends one message for info@example.org up to its final dot. `stored` is the queue's promise. */
function messageGiven(stored: Promise<string>) {
  const config = checkConfig('config.yaml', {
    hostname: 'mx1.example.net',
    postmaster: 'ops@mailbox.example',
    listen: { smtp: { port: 0 }, admin: { port: 0 } },
    queue: { path: '/nowhere' },
    routes: { file: '/nowhere' },
    srs: { domain: 'srs.example.com', secrets: [SECRET] },
  })
  const routes = parseRoutes('routes.yaml', {
    domains: { 'example.org': { aliases: { info: ['a@mailbox.example'] } } },
  })
  const metrics = createMetrics(() => STATS)
  const events: string[] = []
  const transactions = createTransactions({
    config,
    metrics,
    queue: { enqueue: () => stored },
    routes: { current: () => routes } as Parameters<typeof createTransactions>[0]['routes'],
    loadMonitor: {
      load: { stats: STATS, acceptedSince: 0, acceptedBytesSince: 0, bufferedBytes: 0 },
      accepted: () => events.push('counted'),
      stop: () => {},
    },
    log: (event) => events.push(event),
    canary: { admits: () => false },
    onQueued: () => events.push('queued'),
  })
  const session = {
    id: 'session',
    transaction: 1,
    remoteAddress: '192.0.2.1',
    hostNameAppearsAs: 'client.example',
    transmissionType: 'ESMTP',
    envelope: { mailFrom: { address: 'alice@sender.example', args: false }, rcptTo: [] },
  } as unknown as SMTPServerSession
  const recipient = { address: 'info@example.org', args: false } as unknown as SMTPServerAddress
  assert.equal(transactions.recipient(recipient, session), null)
  const stream = Readable.from([Buffer.from('Subject: x\r\n\r\nx\r\n')]) as unknown as SMTPServerDataStream
  return { events, answer: transactions.data(stream, session) }
}

test('no reply and no count before the queue has stored the message', async () => {
  const stored = Promise.withResolvers<string>()
  const { events, answer } = messageGiven(stored.promise)
  const first = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 100, 'no answer'))])
  assert.equal(first, 'no answer')
  assert.deepEqual(events, [])
  stored.resolve('the id')
  assert.deepEqual(await answer, { id: 'the id' })
  assert.deepEqual(events, ['counted', 'accepted', 'queued'])
})

for (const [name, error, code] of [
  ['is full', new QueueFullError('full'), 452],
  ['would not store it', new Error('EIO'), 451],
] as const) {
  test(`a queue that ${name} is answered ${code}, never 250 and never 5xx`, async () => {
    const { events, answer } = messageGiven(Promise.reject(error))
    assert.equal(((await answer) as { code?: number }).code, code)
    assert.ok(!events.includes('accepted') && !events.includes('queued') && !events.includes('counted'))
  })
}
