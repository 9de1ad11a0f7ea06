// Messages that are not simply an entry: copies, messages of another release, and unreadable ones.
import assert from 'node:assert/strict'
import { after, before, describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startAwsQueue, type AwsQueue, type Stores } from '../../../kit/aws/aws-queue.ts'
import {
  waitUntilHolds,
  waitForCounts,
  leaseOne,
  LONG_MS,
  MEDIUM_MS,
  SHORT_MS,
} from '../../../kit/queue/harness.ts'
import { destination, entryFor } from '../../../kit/queue/embedded-harness.ts'
import { faultyQueue, soundQueue } from '../../../kit/queue/aws-harness.ts'

const body = Buffer.from('Subject: x\r\n\r\nx\r\n')
const two = entryFor({ dueMs: 0 })
const halfway = [destination('a@example.net', 'delivered'), destination('b@example.net')]

let emulators: AwsQueue
before(async () => {
  emulators = await startAwsQueue()
})
after(() => emulators.stop())

const messagesIn = ({ names }: Stores) => {
  const {
    ready = [],
    delayed = [],
    inflight = [],
  } = emulators.fauxqs.inspectQueue(names.ready)?.messages ?? {}
  return [...ready, ...delayed, ...inflight.map(({ message }) => message)]
}

/** Sends every message of the queue again, as a sender does whose first answer was lost. */
function copyAll(stores: Stores): void {
  for (const { body: text, messageAttributes } of messagesIn(stores))
    emulators.fauxqs.sendMessage(stores.names.ready, text, { messageAttributes })
}

/** Tests by what they show. */
type Cases = Record<string, (t: TestContext) => Promise<void>>

const cases: Cases = {
  'with a copy is delivered once, and both are deleted': async (t) => {
    const { queue, stores } = await faultyQueue(t, emulators)
    await queue.enqueue(two, body)
    copyAll(stores)
    const held = await leaseOne(queue, 10_000)
    assert.deepEqual(await queue.lease(10, LONG_MS), [], 'the copy waits for the lease to end')
    assert.equal(await queue.settle(held, { kind: 'remove' }), true)
    await waitUntilHolds(async () => {
      assert.deepEqual(await queue.lease(10, LONG_MS), [])
      assert.equal((await queue.stats()).entries, 0)
    })
  },

  'with a copy makes no third one when its entry is deferred': async (t) => {
    const { queue, stores } = await faultyQueue(t, emulators)
    await queue.enqueue(two, body)
    copyAll(stores)
    const later = { kind: 'reschedule', dueMs: 0, destinations: halfway } as const
    assert.equal(await queue.settle(await leaseOne(queue), later), true)
    const again = await leaseOne(queue)
    assert.deepEqual([again.entry.attempts, again.entry.destinations], [1, halfway])
    await waitUntilHolds(async () => {
      assert.deepEqual(await queue.lease(10, LONG_MS), [])
      assert.equal(messagesIn(stores).length, 1)
    })
    assert.equal(await queue.settle(again, { kind: 'remove' }), true)
    await waitForCounts(queue, {})
  },

  'of an unknown version stays unchanged and never becomes a dead letter': async (t) => {
    const stores = await emulators.createStores(3)
    const queue = await soundQueue(t, emulators, stores)
    const messageAttributes = {
      version: { DataType: 'Number', StringValue: '2' },
      dueMs: { DataType: 'Number', StringValue: '12345' },
      new: { DataType: 'String', StringValue: 'in version 2' },
    }
    emulators.fauxqs.sendMessage(stores.names.ready, '{"a":"text of the future"}', { messageAttributes })
    for (let i = 0; i < 6; i++) {
      assert.deepEqual(await queue.lease(10, SHORT_MS), [])
      await sleep(SHORT_MS + 200)
    }
    const [found, ...more] = messagesIn(stores)
    assert.deepEqual(more, [])
    assert.equal(found?.body, '{"a":"text of the future"}')
    const { version, dueMs, new: added } = found?.messageAttributes ?? {}
    assert.deepEqual({ version, dueMs, new: added }, messageAttributes)
    assert.ok((found?.approximateReceiveCount ?? 9) <= 1)
    assert.equal(emulators.deadLetters(stores), 0)
    assert.equal((await queue.stats()).unknownVersion, 1, 'and is one, however often it is met')
  },

  'that is too large for SQS is refused': async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    const destinations = Array.from({ length: 10_000 }, (_, i) =>
      destination(`${i}.${'x'.repeat(240)}@example.net`),
    )
    await assert.rejects(queue.enqueue({ ...two, destinations }, body), RangeError)
    assert.ok(!proxy.calls.includes('sqs SendMessage'))
    await waitForCounts(queue, {})
  },

  'with a body stays within the limit of every queue': async (t) => {
    const { queue, proxy, stores } = await faultyQueue(t, emulators)
    const destinations = Array.from({ length: 300 }, (_, i) =>
      destination(`${i}.${'x'.repeat(240)}@example.net`),
    )
    await queue.enqueue({ ...two, destinations }, Buffer.alloc(131_072, 'x'))
    assert.ok((messagesIn(stores)[0]?.body.length ?? Infinity) < 262_144 - 1_024)
    assert.ok(proxy.calls.includes('s3 PutObject'))
  },

  'that arrives during a long poll is leased for the whole lease time': async (t) => {
    const { queue } = await faultyQueue(t, emulators, { queue: { waitSeconds: 5 } })
    const waiting = queue.lease(1, LONG_MS)
    await sleep(1_000)
    const beforeMs = Date.now()
    await queue.enqueue(two, body)
    const [held] = await waiting
    assert.ok(held)
    assert.ok(
      held.expiresMs >= beforeMs + LONG_MS,
      'counted from when it came, not from when it was asked for',
    )
    assert.equal(await queue.extend(held, LONG_MS), true)
    assert.equal(queue.waits, true)
  },
}

const UNREADABLE = [
  ['is no entry', '{"entry":{"version":1}}', { version: { DataType: 'Number', StringValue: '1' } }],
  ['is no JSON', '{', { version: { DataType: 'Number', StringValue: '1' } }],
  ['is not from here', 'hello', {}],
] as const

for (const [what, text, attributes] of UNREADABLE) {
  cases[`that ${what} is reported, is in nobody’s way, and becomes a dead letter`] = async (t) => {
    const stores = await emulators.createStores(3)
    const { queue, errors } = await faultyQueue(t, emulators, { stores })
    emulators.fauxqs.sendMessage(stores.names.ready, text, { messageAttributes: { ...attributes } })
    await queue.enqueue(two, body)
    // Not for long: what cannot be read is held as long as a lease.
    assert.equal(await queue.settle(await leaseOne(queue, MEDIUM_MS), { kind: 'remove' }), true)
    await waitUntilHolds(async () => {
      assert.deepEqual(await queue.lease(10, SHORT_MS), [])
      assert.equal(emulators.deadLetters(stores), 1)
    })
    assert.deepEqual(new Set(errors.map((error) => error.split(':')[0])), new Set(['read']))
  }
}

describe('a message', { concurrency: 100 }, () => {
  for (const [name, run] of Object.entries(cases)) it(name, run)
})
