// Late, wrong and missing answers of AWS. The caller gets an error, no mail is lost or queued twice, and work resumes.
import assert from 'node:assert/strict'
import { after, before, describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { faultOf, THROTTLED, UNAVAILABLE, type AwsProxy, type AwsFault } from '../../../kit/aws/aws-proxy.ts'
import { startAwsQueue, type AwsQueue } from '../../../kit/aws/aws-queue.ts'
import {
  waitUntilHolds,
  waitForCounts,
  leaseOne,
  leaseWhenDue,
  LONG_MS,
  SHORT_MS,
} from '../../../kit/queue/harness.ts'
import { destination, entryFor } from '../../../kit/queue/embedded-harness.ts'
import { DOWN, faultyQueue, soundQueue } from '../../../kit/queue/aws-harness.ts'

const timesCalled = (proxy: AwsProxy, call: string) => proxy.calls.filter((made) => made === call).length
const small = Buffer.from('Subject: x\r\n\r\nx\r\n')
const large = Buffer.alloc(200_000, 'large ')
const one = entryFor({ dueMs: 0, destinations: [destination('a@example.net')] })
const two = entryFor({ dueMs: 0 })
const DSN = { entry: entryFor({ reversePath: '', dueMs: 0 }), body: small }

let emulators: AwsQueue
before(async () => {
  emulators = await startAwsQueue()
})
after(() => emulators.stop())

/** Tests by what they show. */
type Cases = Record<string, (t: TestContext) => Promise<void>>

const mailWhen = (how: string, fault: AwsFault): Cases => ({
  [`SQS ${how}: it is refused, and accepted after the outage`]: async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    proxy.fault = ({ service }) => (service === 'sqs' ? fault : null)
    await assert.rejects(queue.enqueue(one, small))
    await assert.rejects(queue.enqueue(two, large))
    await assert.rejects(async () => queue.stats())
    proxy.fault = () => null
    await queue.enqueue(one, small)
    await waitForCounts(queue, { ready: 1 })
  },

  [`S3 ${how}: a large message is refused and a small one accepted`]: async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    proxy.fault = ({ service }) => (service === 's3' ? fault : null)
    await assert.rejects(queue.enqueue(one, large))
    await queue.enqueue(one, small)
    await waitForCounts(queue, { ready: 1 })
    proxy.fault = () => null
    await queue.enqueue(one, large)
    await waitForCounts(queue, { ready: 2 })
  },

  [`DynamoDB ${how}: every message is accepted`]: async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    proxy.fault = ({ service }) => (service === 'dynamodb' ? fault : null)
    await queue.enqueue(one, small)
    await queue.enqueue(two, large)
    await waitForCounts(queue, { ready: 2 })
  },
})

const mail: Cases = {
  'whose acknowledgement is lost is refused and queued once': async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    proxy.fault = faultOf('SendMessage', 'lose', { times: 1 })
    await assert.rejects(queue.enqueue(one, small))
    assert.equal(timesCalled(proxy, 'sqs SendMessage'), 1)
    await waitForCounts(queue, { ready: 1 })
  },

  'while SQS hangs is refused': async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    proxy.fault = faultOf('SendMessage', { delayMs: 600_000 })
    await assert.rejects(queue.enqueue(one, small), { name: 'TimeoutError' })
  },

  'is in the bucket before it is in the queue': async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    await queue.enqueue(two, large)
    const stored = proxy.calls.filter((call) => /PutObject|SendMessage/.test(call))
    assert.deepEqual(stored, ['s3 PutObject', 'sqs SendMessage'])
  },

  'is awaited when the queue is closed': async (t) => {
    const { queue, proxy, stores } = await faultyQueue(t, emulators)
    proxy.fault = faultOf('SendMessage', { delayMs: 500 })
    const storing = queue.enqueue(one, small)
    await queue.close()
    await storing
    await waitForCounts(await soundQueue(t, emulators, stores), { ready: 1 })
  },

  'is limited by the counts of SQS, and unlimited while SQS cannot count': async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators, { queue: { maxEntries: 1 } })
    proxy.fault = faultOf('GetQueueAttributes', UNAVAILABLE)
    await queue.enqueue(one, small)
    await queue.enqueue(one, small)
    proxy.fault = () => null
    await waitUntilHolds(() => assert.rejects(queue.enqueue(one, small), { name: 'QueueFullError' }))
  },
}

const counts: Cases = {
  'are retried, so that one lost answer refuses no mail': async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    proxy.fault = faultOf('GetQueueAttributes', 'cut', { times: 1 })
    assert.equal((await queue.stats()).entries, 0)
  },
}

const workWhen = (how: string, fault: AwsFault): Cases => ({
  [`SQS ${how}: nothing is leased, and everything is after the outage`]: async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    await queue.enqueue(one, small)
    proxy.fault = ({ service }) => (service === 'sqs' ? fault : null)
    await assert.rejects(queue.lease(1, LONG_MS))
    proxy.fault = () => null
    await leaseOne(queue)
  },

  [`S3 ${how}: the body cannot be read, and can after the outage`]: async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    await queue.enqueue(one, large)
    const held = await leaseOne(queue)
    proxy.fault = ({ service }) => (service === 's3' ? fault : null)
    await assert.rejects(async () => queue.body(held))
    proxy.fault = () => null
    assert.ok((await queue.body(held)).equals(large))
  },

  [`DynamoDB ${how}: no message comes nearer to the dead-letter queue`]: async (t) => {
    const { queue, proxy, stores } = await faultyQueue(t, emulators)
    await queue.enqueue(two, small)
    proxy.fault = ({ service }) => (service === 'dynamodb' ? fault : null)
    for (let i = 0; i < 4; i++) {
      await assert.rejects(queue.lease(1, SHORT_MS))
      await sleep(SHORT_MS / 2)
    }
    const { ready = [], inflight = [] } = emulators.fauxqs.inspectQueue(stores.names.ready)?.messages ?? {}
    const counts = [...ready, ...inflight.map(({ message }) => message)].map(
      (each) => each.approximateReceiveCount,
    )
    assert.deepEqual(counts, [1])
    proxy.fault = () => null
    assert.equal(await queue.settle(await leaseOne(queue), { kind: 'remove' }), true)
    await waitForCounts(queue, {})
  },
})

const work: Cases = {
  'of one destination costs three SQS calls and nothing else': async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    await queue.enqueue(one, small)
    assert.equal(await queue.settle(await leaseOne(queue), { kind: 'remove' }), true)
    const used = new Set(proxy.calls.filter((call) => call !== 'sqs GetQueueAttributes'))
    assert.deepEqual([...used].sort(), ['sqs DeleteMessage', 'sqs ReceiveMessage', 'sqs SendMessage'])
  },

  'that was received before is claimed in DynamoDB': async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    await queue.enqueue(one, small)
    await queue.release(await leaseOne(queue))
    assert.ok(!proxy.calls.includes('dynamodb UpdateItem'))
    await leaseOne(queue)
    assert.ok(proxy.calls.includes('dynamodb UpdateItem'))
  },

  'that is removed but cannot be deleted is not delivered again': async (t) => {
    const { queue, proxy, errors, stores } = await faultyQueue(t, emulators)
    await queue.enqueue(one, small)
    const held = await leaseOne(queue, 10_000)
    proxy.fault = faultOf('DeleteMessage', UNAVAILABLE)
    assert.equal(await queue.settle(held, { kind: 'remove' }), true)
    assert.deepEqual(
      errors.map((error) => error.split(':')[0]),
      ['remove', 'finish'],
    )
    proxy.fault = () => null
    const other = await soundQueue(t, emulators, stores)
    await waitUntilHolds(async () => {
      assert.deepEqual(await other.lease(1, LONG_MS), [])
      assert.equal((await other.stats()).entries, 0)
    })
  },

  'is lost to a holder whose receipt has expired, under each of its error names': async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    for (const reason of [
      'The receipt handle has expired.',
      'Message does not exist or is not available for visibility timeout change.',
    ]) {
      await queue.enqueue(one, small)
      const held = await leaseOne(queue)
      const message = `Value AQEB for parameter ReceiptHandle is invalid. Reason: ${reason}`
      proxy.fault = faultOf('ChangeMessageVisibility', {
        status: 400,
        code: 'InvalidParameterValue',
        message,
      })
      assert.equal(await queue.extend(held, LONG_MS), false)
    }
    const message = 'Value 50000 for parameter VisibilityTimeout is invalid. Reason: Must be at most 43200.'
    proxy.fault = faultOf('ChangeMessageVisibility', { status: 400, code: 'InvalidParameterValue', message })
    await queue.enqueue(one, small)
    await assert.rejects(queue.extend(await leaseOne(queue), LONG_MS))
  },

  'that fails in a partial outage is hidden longer each time': async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    await queue.enqueue(two, small)
    const waits: number[] = []
    proxy.fault = ({ name, body }) => {
      const sent = body.toString()
      if (name === 'ChangeMessageVisibility')
        waits.push((JSON.parse(sent) as { VisibilityTimeout: number }).VisibilityTimeout)
      return name === 'UpdateItem' && !sent.includes('envelope#probe') ? UNAVAILABLE : null
    }
    await waitUntilHolds(async () => {
      await queue.lease(1, SHORT_MS).catch(() => {})
      assert.deepEqual(waits, [2, 4, 8])
    })
  },

  'whose settlement was stored but not answered is settled by the second call': async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators)
    await queue.enqueue(two, small)
    const held = await leaseOne(queue)
    proxy.fault = faultOf('UpdateItem', 'lose')
    const dsn = { ...DSN, body: large }
    await assert.rejects(queue.settle(held, { kind: 'remove' }, dsn))
    proxy.fault = () => null
    assert.equal(await queue.settle(held, { kind: 'remove' }, dsn), true)
    assert.equal(timesCalled(proxy, 's3 PutObject'), 1, 'it is the same DSN')
    await waitForCounts(queue, { ready: 1 })
    assert.ok((await queue.body(await leaseOne(queue))).equals(large))
  },

  'survives a single failure of every call': async (t) => {
    const { queue, proxy, errors } = await faultyQueue(t, emulators)
    await queue.enqueue(two, large)
    const failed = new Set<string>()
    const calls = [
      'ChangeMessageVisibility',
      'DeleteMessage',
      'GetObject',
      'UpdateItem',
      'DeleteObject',
      'PutObject',
    ]
    proxy.fault = ({ name }) => {
      if (!calls.includes(name) || failed.has(name)) return null
      failed.add(name)
      return failed.size % 2 === 0 ? 'lose' : THROTTLED
    }
    const held = await leaseOne(queue)
    assert.ok((await queue.body(held)).equals(large))
    assert.equal(await queue.extend(held, LONG_MS), true)
    assert.equal(await queue.record(held, held.entry.destinations), true)
    assert.equal(await queue.settle(held, { kind: 'remove' }, { ...DSN, body: large }), true)
    assert.deepEqual([...failed].sort(), calls.sort())
    assert.deepEqual(errors, [])
    await waitForCounts(queue, { ready: 1 })
  },

  'is deferred in several rounds and keeps its due time': async (t) => {
    const { queue, proxy } = await faultyQueue(t, emulators, { maxDelaySeconds: 1 })
    const id = await queue.enqueue(two, small)
    const dueMs = Date.now() + 5_000
    assert.equal(await queue.settle(await leaseOne(queue), { kind: 'reschedule', dueMs }), true)
    const setting = { now: Date.now, advance: (ms: number) => sleep(ms) }
    const { entry } = await leaseWhenDue(setting, queue, dueMs)
    assert.deepEqual([entry.id, entry.dueMs, entry.attempts], [id, dueMs, 1])
    assert.ok(timesCalled(proxy, 'sqs SendMessageBatch') > 2, 'it moved several times')
    await waitForCounts(queue, { inFlight: 1 })
  },

  'that cannot be moved is moved later': async (t) => {
    const { queue, proxy, errors } = await faultyQueue(t, emulators, { maxDelaySeconds: 1 })
    const dueMs = Date.now() + 3_000
    await queue.enqueue({ ...two, dueMs }, small)
    proxy.fault = faultOf('SendMessageBatch', UNAVAILABLE, { times: 3 })
    await waitUntilHolds(() => Promise.resolve(assert.ok(errors.some((error) => error.startsWith('move:')))))
    assert.equal((await leaseOne(queue)).entry.dueMs, dueMs)
  },
}

for (const [what, cases, whenDown] of [
  ['mail that comes in', mail, mailWhen],
  ['work', work, workWhen],
  ['counts', counts, () => ({})],
] as const) {
  const all = { ...cases, ...Object.assign({}, ...DOWN.map(([how, fault]) => whenDown(how, fault))) } as Cases
  describe(what, { concurrency: 100 }, () => {
    for (const [name, run] of Object.entries(all)) it(name, run)
  })
}
