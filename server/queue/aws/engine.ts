// The queue on AWS. Envelopes are SQS messages, large bodies are in S3, and delivery state goes to DynamoDB only when an
// envelope needs it (decision 032). Owns: opening, closing, enqueue and its limit. An entry with one destination,
// delivered at once, costs three SQS calls and nothing else. Opening calls no AWS service, since AWS may be down. While it
// is, each call fails with the SDK's error.
import type { Destination, Lease, NewEntry } from '../entry.ts'
import { createEntry } from '../new-entry.ts'
import { QueueFullError, type Dsn, type Settlement, type Queue } from '../queue.ts'
import { openBodyStore } from './bodies.ts'
import { openSqs } from './sqs.ts'
import { createQueueCounters } from './counters.ts'
import { bodyOf, extend, record, release, liveState } from './lease-state.ts'
import { lease } from './leasing.ts'
import { pack } from './message.ts'
import { startMover } from './mover.ts'
import { createMessageSender } from './sender.ts'
import { settle } from './settling.ts'
import { openDeliveryStates } from './delivery-state.ts'
import type { AwsQueueOptions, AwsEngine } from './types.ts'

/** Opens the queue without a call to AWS. */
export async function openAwsQueue(options: AwsQueueOptions) {
  const { queue: config, aws, onError = () => {}, now = Date.now } = options
  const monotonic = options.monotonic ?? options.now ?? (() => performance.now())
  const { maxDelaySeconds = 900, unknownDelaySeconds = 30, longestWaitMs = () => Infinity } = options
  const sqs = await openSqs(aws, Math.max(config.waitSeconds, 1))
  const bodies = await openBodyStore(aws, config.bucket)
  const states = await openDeliveryStates(aws, config.table, now)
  const sender = createMessageSender({ sqs, config, now, maxDelaySeconds, longestWaitMs })
  const counters = createQueueCounters({ sqs, config, monotonic })
  const engine: AwsEngine = {
    config,
    now,
    monotonic,
    sqs,
    bodies,
    states,
    sender,
    counters,
    onError,
    unknownDelaySeconds,
    leaseStates: new WeakMap(),
    statesUnavailable: false,
  }
  const mover = startMover(engine)
  const pending = new Set<Promise<unknown>>()

  /** Makes `close` wait for the work. */
  function underWay<T>(work: Promise<T>): Promise<T> {
    pending.add(work)
    const end = () => pending.delete(work)
    work.then(end, end)
    return work
  }

  return {
    enqueue: (entry: NewEntry, body: Buffer) => underWay(enqueue(engine, entry, body)),
    lease: (max: number, leaseMs: number) => underWay(lease(engine, max, leaseMs)),
    body: (held: Lease) => underWay(bodyOf(engine, held)),
    holds: (held: Lease) => liveState(engine, held) !== undefined,
    extend: (held: Lease, leaseMs: number) => underWay(extend(engine, held, leaseMs)),
    record: (held: Lease, destinations: Destination[]) => underWay(record(engine, held, destinations)),
    settle: (held: Lease, settlement: Settlement, dsn?: Dsn) =>
      underWay(settle(engine, held, settlement, dsn)),
    release: (held: Lease) => underWay(release(engine, held)),
    stats: () => counters.stats(),
    statsMs: config.statsMs,
    waits: config.waitSeconds > 0,
    settled: (id: string) => underWay(states.isDone(id)),
    failure: () => undefined,
    problem: () => null,
    close: async (): Promise<void> => {
      await mover.stop()
      while (pending.size > 0) await Promise.allSettled(pending)
      for (const part of [sqs, bodies, states]) part.close()
    },
  } satisfies Queue
}

async function enqueue(engine: AwsEngine, entry: NewEntry, body: Buffer): Promise<string> {
  const { config, bodies, counters, now, sender } = engine
  const entries = await counters.entries()
  if (entries >= config.maxEntries)
    throw new QueueFullError(`the queue holds about ${entries} entries, its bound is ${config.maxEntries}`)
  const made = createEntry(entry, body, now())
  const { message, inline } = pack(made, body, config.inlineBytes, { tracked: false })
  // The body first, so that no message is without its body. If the send fails, the bucket's lifecycle rule deletes the
  // orphaned body.
  if (!inline) await bodies.put(made.id, body)
  await sender.send(message, { repeat: false })
  counters.countEnqueued()
  return made.id
}
