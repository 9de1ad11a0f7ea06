// An attempt that throws, or a queue that cannot store, neither loses the entry nor retries it in a tight loop.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { keepLease } from '../../../server/delivery/lease-keeper.ts'
import type { DeliveryResult } from '../../../server/delivery/delivery-result.ts'
import { deliverLease, type DeliverLeaseOptions } from '../../../server/delivery/deliver-lease.ts'
import { createMetrics } from '../../../server/metrics.ts'
import { openEmbeddedQueue } from '../../../server/queue/embedded/engine.ts'
import type { Destination, Lease } from '../../../server/queue/entry.ts'
import { canaryEntry } from '../../../server/smtp/canary.ts'
import { SECRET, testFolder, type LogLine } from '../../kit/server/server-process.ts'

const DELIVERED: DeliveryResult = { kind: 'delivered', reply: '250 ok', status: '2.0.0', remoteHost: 'mx' }

function pending(address: string, originalRecipient = 'info@example.org'): Destination {
  return { address, originalRecipient, state: 'pending', reply: '', status: '', remoteHost: '' }
}

/** A real queue with one entry, and work on it that asks `deliver`. */
async function setting(deliver: DeliverLeaseOptions['context']['deliver'], destinations: Destination[]) {
  let nowMs = Date.now()
  const queue = await openEmbeddedQueue({
    path: join(testFolder(), 'spool'),
    maxEntries: 10,
    maxBytes: 1_000_000,
    volatile: true,
    now: () => nowMs,
  })
  await queue.enqueue(
    {
      reversePath: 'alice@sender.example',
      destinations,
      sizeBytes: 0,
      acceptedMs: nowMs,
      dueMs: nowMs,
      expiresMs: nowMs + 1_000_000,
      eightBit: false,
      smtpUtf8: false,
    },
    Buffer.from('Subject: x\r\n\r\nx\r\n'),
  )
  const lines: LogLine[] = []
  const options: DeliverLeaseOptions = {
    queue,
    metrics: createMetrics(() => queue.stats()),
    log: (event, fields) => lines.push({ event, ...fields }),
    context: {
      deliver,
      sendersMailboxes: (sender) => [sender],
      srs: { domain: 'srs.example.com', secrets: [SECRET] },
      hostname: 'mx1.example.net',
      retry: { firstMs: 1_000, maxMs: 4_000, jitter: 0, lifetimeMs: 10_000 },
      relayed: false,
      now: () => nowMs,
      random: () => 0.5,
    },
  }
  return {
    queue,
    options,
    lines,
    pass: (ms: number) => (nowMs += ms),
    now: () => nowMs,
    lease: async () => (await queue.lease(10, 5_000))[0],
    on: async (lease: Lease, over: Partial<DeliverLeaseOptions> = {}) => {
      const all = { ...options, ...over, queue: { ...queue, ...over.queue }, leaseMs: 5_000 }
      const hold = keepLease(lease, all)
      const known = await deliverLease(lease, hold, all)
      hold.end()
      return known
    },
  }
}

test('an attempt that throws is rescheduled, later each time, and each error is counted', async () => {
  const work = await setting(() => Promise.reject(new TypeError('a bug')), [pending('a@b.example')])
  for (const waitMs of [1_000, 2_000, 4_000, 4_000]) {
    const lease = await work.lease()
    assert.ok(lease)
    await work.on(lease)
    assert.equal(await work.lease(), undefined)
    work.pass(waitMs - 1)
    assert.equal(await work.lease(), undefined)
    work.pass(1)
  }
  assert.equal((await work.lease())?.entry.attempts, 4)
  assert.match((await work.options.metrics.scrape()).text, /mailfleet_errors_total\{where="attempt"\} 4/)
  assert.equal(work.lines.filter(({ event }) => event === 'attempt-failed').length, 4)
  await work.queue.close()
})

test('a settlement that the queue cannot store at first is retried, and nothing is sent twice', async () => {
  let sent = 0
  const work = await setting(
    (_domain, { recipients }) => {
      sent++
      return Promise.resolve(new Map(recipients.map((recipient) => [recipient, DELIVERED])))
    },
    [pending('a@b.example')],
  )
  let failures = 2
  const { settle } = work.queue
  const queue = {
    ...work.queue,
    settle: ((...args) =>
      failures-- > 0 ? Promise.reject(new Error('disk full')) : settle(...args)) as typeof settle,
  }
  await work.on((await work.lease())!, { queue })
  assert.equal(sent, 1)
  assert.equal(work.queue.stats().entries, 0)
  await work.queue.close()
})

test('a canary is removed and delivered nowhere, even by a release without canaries', async () => {
  const nobody = () => Promise.reject(new Error('a canary was delivered'))
  const work = await setting(nobody, [])
  const first = await work.lease()
  assert.equal(await work.on({ ...first!, entry: { ...first!.entry, canary: true } }), true)
  assert.equal(work.queue.stats().entries, 0)
  const entry = canaryEntry(0, work.now())
  const id = await work.queue.enqueue(entry, Buffer.from('Subject: canary\r\n\r\n?\r\n'))
  assert.equal(work.queue.settled(id), false)
  const second = await work.lease()
  assert.equal(second?.entry.canary, true)
  const unknowing = { ...second.entry }
  delete unknowing.canary
  assert.equal(await work.on({ ...second, entry: unknowing }), true)
  assert.equal(work.queue.settled(id), true)
  assert.deepEqual(work.lines, [])
  await work.queue.close()
})

test('a lost lease ends the attempt before the next host', async () => {
  const domains: string[] = []
  const work = await setting(
    (domain, { recipients }) => {
      domains.push(domain)
      work.pass(6_000)
      return Promise.resolve(new Map(recipients.map((recipient) => [recipient, DELIVERED])))
    },
    [pending('a@b.example'), pending('c@d.example')],
  )
  await work.on((await work.lease())!)
  assert.deepEqual(domains, ['b.example'])
  assert.ok(work.lines.some(({ event }) => event === 'lease-lost'))
  await work.queue.close()
})

test('an expired lease ends the attempt before the next host, acknowledged or not', async () => {
  const domains: string[] = []
  const later: DeliveryResult = {
    kind: 'deferred',
    why: 'remote',
    reply: '451 no',
    status: '4.0.0',
    remoteHost: 'mx',
  }
  const work = await setting(
    (domain, { recipients }) => {
      domains.push(domain)
      work.pass(6_000)
      return Promise.resolve(new Map(recipients.map((recipient) => [recipient, later])))
    },
    [pending('a@b.example'), pending('c@d.example')],
  )
  await work.on((await work.lease())!)
  assert.deepEqual(domains, ['b.example'])
  assert.equal(work.queue.stats().entries, 1)
  await work.queue.close()
})

test('a failure is reported at once and only once while another destination is deferred', async () => {
  const outcomes: Record<string, DeliveryResult> = {
    'b.example': { kind: 'failed', reply: '550 5.1.1 no', status: '5.1.1', remoteHost: 'mx' },
    'd.example': { kind: 'deferred', why: 'remote', reply: '451 later', status: '4.0.0', remoteHost: 'mx' },
    'sender.example': DELIVERED,
  }
  const sent: string[] = []
  const work = await setting(
    (domain, { recipients }) => {
      sent.push(...recipients)
      return Promise.resolve(
        new Map(recipients.map((recipient) => [recipient, outcomes[domain] ?? DELIVERED])),
      )
    },
    [pending('a@b.example'), pending('c@d.example'), pending('e@d.example', 'other@example.org')],
  )
  await work.on((await work.lease())!)
  assert.equal(work.queue.stats().entries, 2)
  await work.on((await work.lease())!)
  work.pass(1_000)
  outcomes['d.example'] = DELIVERED
  await work.on((await work.lease())!)
  assert.deepEqual(sent, [
    'a@b.example',
    'c@d.example',
    'e@d.example',
    'alice@sender.example',
    'c@d.example',
    'e@d.example',
  ])
  assert.equal(work.queue.stats().entries, 0)
  await work.queue.close()
})
