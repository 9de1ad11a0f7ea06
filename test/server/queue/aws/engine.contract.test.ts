// The contract on the queue on AWS, with emulators on real sockets, the real SDK and real time. The cases run at the same
// time, each with its own queues, bucket and table.
import { randomBytes } from 'node:crypto'
import { after, before, describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openAwsQueue } from '../../../../server/queue/aws/engine.ts'
import { ENTRY_VERSION } from '../../../../server/queue/version.ts'
import { startAwsQueue, type AwsQueue } from '../../../kit/aws/aws-queue.ts'
import { optionsFor } from '../../../kit/queue/aws-harness.ts'
import { CONTRACT } from '../../../kit/contract/contract.ts'
import type { QueueHarness } from '../../../kit/queue/harness.ts'

let emulators: AwsQueue

describe('the queue on AWS', { concurrency: 100 }, () => {
  before(async () => {
    emulators = await startAwsQueue()
  })
  after(() => emulators.stop())
  for (const [name, run] of Object.entries(CONTRACT)) it(name, async (t) => run(await settingFor(t)))
})

async function settingFor(t: TestContext): Promise<QueueHarness> {
  const stores = await emulators.createStores()
  const { fauxqs, endpoints } = emulators
  let steppedMs = 0
  const now = () => Date.now() + steppedMs
  return {
    open: async ({ longestWaitMs, ...options } = {}) => {
      const waits = longestWaitMs === undefined ? {} : { longestWaitMs }
      const clocks = { now, monotonic: () => performance.now() }
      const queue = await openAwsQueue(optionsFor(endpoints, stores, { queue: options, ...clocks, ...waits }))
      t.after(() => queue.close())
      return queue
    },
    now,
    advance: (ms) => sleep(ms),
    step: (ms) => {
      steppedMs += ms
    },
    addUnknown: (text) => {
      const version = { DataType: 'Number', StringValue: String(ENTRY_VERSION + 1) }
      const messageAttributes = { version, ofTheFuture: { DataType: 'String', StringValue: 'yes' } }
      fauxqs.sendMessage(stores.names.ready, `${text} ${randomBytes(4).toString('hex')}`, {
        messageAttributes,
      })
      return Promise.resolve()
    },
    countUnknown: (text) => {
      const {
        ready = [],
        delayed = [],
        inflight = [],
      } = fauxqs.inspectQueue(stores.names.ready)?.messages ?? {}
      const all = [...ready, ...delayed, ...inflight.map(({ message }) => message)]
      const found = all.filter(
        ({ body, messageAttributes }) => body.includes(text) && 'ofTheFuture' in messageAttributes,
      )
      return Promise.resolve(found.length)
    },
    deadLetters: () => emulators.deadLetters(stores),
  }
}
