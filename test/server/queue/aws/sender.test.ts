// Deferred mail until it is due: which queue it waits in, how it is counted, and how many calls of AWS it costs.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import type { SqsCalls, OutgoingMessage } from '../../../../server/queue/aws/sqs.ts'
import type { SqsMessage } from '../../../../server/queue/aws/message.ts'
import { createMessageSender } from '../../../../server/queue/aws/sender.ts'
import { faultOf, UNAVAILABLE, type AwsProxy } from '../../../kit/aws/aws-proxy.ts'
import { startAwsQueue, type AwsQueue } from '../../../kit/aws/aws-queue.ts'
import { waitUntilHolds, waitForCounts, leaseEach, leaseOne, LONG_MS } from '../../../kit/queue/harness.ts'
import { entryFor } from '../../../kit/queue/embedded-harness.ts'
import { faultyQueue, optionsFor } from '../../../kit/queue/aws-harness.ts'

const small = Buffer.from('Subject: x\r\n\r\nx\r\n')
const HOUR_MS = 3_600_000

let emulators: AwsQueue
before(async () => {
  emulators = await startAwsQueue()
})
after(() => emulators.stop())

/** No mover receives anything. */
const withoutMover: AwsProxy['fault'] = ({ name, body }) =>
  name === 'ReceiveMessage' && body.includes('-deferred') ? UNAVAILABLE : null

/** The emulator makes visible what is due only when it is asked for messages. */
async function wakeUp(url: string): Promise<void> {
  const client = new SQSClient({ endpoint: emulators.endpoints.sqs })
  await client.send(new ReceiveMessageCommand({ QueueUrl: url, VisibilityTimeout: 0 }))
  client.destroy()
}

test('mail is queued once when SQS first answers 503', async (t) => {
  const { queue, proxy } = await faultyQueue(t, emulators)
  proxy.fault = faultOf('SendMessage', UNAVAILABLE, { times: 2 })
  await queue.enqueue(entryFor({ dueMs: 0 }), small)
  await waitForCounts(queue, { ready: 1 })
})

test('a visible message in the deferred queue counts as deferred, not ready', async (t) => {
  const { queue, proxy, stores } = await faultyQueue(t, emulators, { maxDelaySeconds: 1 })
  proxy.fault = withoutMover
  for (let count = 0; count < 3; count++)
    await queue.enqueue(entryFor({ dueMs: Date.now() + 2 * HOUR_MS }), small)
  await waitUntilHolds(async () => {
    await wakeUp(stores.queue.deferredUrl)
    assert.equal(emulators.fauxqs.inspectQueue(stores.names.deferred)?.messages.delayed.length, 0)
  })
  await waitForCounts(queue, { deferred: 3 })
})

test('an entry can be leased once it is due, even while no mover runs', async (t) => {
  const { queue, proxy } = await faultyQueue(t, emulators)
  proxy.fault = withoutMover
  const dueMs = Date.now() + 4_000
  await queue.enqueue(entryFor({ dueMs }), small)
  await waitForCounts(queue, { deferred: 1 })
  assert.equal((await leaseOne(queue)).entry.dueMs, dueMs)
})

test('the mover sends and deletes the received messages in batches', async (t) => {
  const { queue, proxy } = await faultyQueue(t, emulators, { maxDelaySeconds: 1 })
  proxy.fault = withoutMover
  const dueMs = Date.now() + 5_000
  await Promise.all(Array.from({ length: 10 }, () => queue.enqueue(entryFor({ dueMs }), small)))
  proxy.fault = () => null
  await leaseEach(queue, 10, LONG_MS)
  const count = (name: string) => proxy.calls.filter((call) => call === `sqs ${name}`).length
  assert.equal(count('SendMessage'), 10)
  assert.equal(count('DeleteMessage'), 0)
  assert.ok(count('DeleteMessageBatch') >= 1 && count('DeleteMessageBatch') < 10)
  assert.ok(count('SendMessageBatch') >= 1 && count('SendMessageBatch') < 10)
})

/** What a post hands to its sqs, of messages that wait for `waitMs`. */
async function sent(waitMs: number, count: number): Promise<(OutgoingMessage & { url: string })[]> {
  const given: (OutgoingMessage & { url: string })[] = []
  const sqs = {
    sendAll: (url: string, messages: readonly OutgoingMessage[]) => {
      given.push(...messages.map((message) => ({ ...message, url })))
      return Promise.resolve(messages.map(() => undefined))
    },
  } as unknown as SqsCalls
  const stores = await emulators.createStores()
  const { queue: config } = optionsFor(emulators.endpoints, stores)
  const post = createMessageSender({
    sqs,
    config,
    now: () => 0,
    maxDelaySeconds: 900,
    longestWaitMs: () => Infinity,
  })
  const number = (value: number) => ({ DataType: 'Number', StringValue: String(value) })
  const message: SqsMessage = { text: '', attributes: { version: number(1), dueMs: number(waitMs) } }
  await post.sendAll(Array<SqsMessage>(count).fill(message))
  return given
}

test('messages deferred together get different delays, none longer than SQS allows', async () => {
  const hops = await sent(2 * HOUR_MS, 200)
  assert.ok(hops.every(({ url }) => url.endsWith('-deferred')))
  assert.ok(hops.every(({ delaySeconds }) => delaySeconds >= 675 && delaySeconds <= 900))
  assert.ok(new Set(hops.map(({ delaySeconds }) => delaySeconds)).size > 20)
})

test('a message due within the longest delay waits in the ready queue, to the second', async () => {
  const [last] = await sent(899_001, 1)
  assert.ok(last?.url.endsWith('-ready'))
  assert.equal(last?.delaySeconds, 900)
})
