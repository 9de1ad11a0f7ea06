// The queue on AWS: envelopes are messages of SQS, large bodies are in S3, and where an entry stands is in DynamoDB as
// soon as that matters (decision 032). Owns: opening and closing, enqueue and its bound, and what the parts share.
// An entry of one destination that is delivered at once costs three calls of SQS and nothing else.
// Nothing is asked of AWS when the queue is opened: it may be down. Every call fails with the SDK's error while it is.
import type { Destination, Lease, NewEntry } from '../entry.ts'
import { newEntry } from '../new-entry.ts'
import { QueueFullError, type Dsn, type Outcome, type Queue } from '../queue.ts'
import { openBodies } from './bodies.ts'
import { openChannel } from './sqs.ts'
import { createCensus } from './counters.ts'
import { bodyOf, extend, record, release, stillHeld } from './lease-state.ts'
import { lease } from './leasing.ts'
import { pack } from './message.ts'
import { startMover } from './mover.ts'
import { createPost } from './sender.ts'
import { settle } from './settling.ts'
import { openStates } from './delivery-state.ts'
import type { AwsQueueOptions, Engine } from './types.ts'

/** Opens the queue; asks nothing of it. */
export async function openAwsQueue(options: AwsQueueOptions) {
  const { queue: config, aws, onError = () => {}, now = Date.now } = options
  const monotonic = options.monotonic ?? options.now ?? (() => performance.now())
  const { maxDelaySeconds = 900, asideSeconds = 30, longestWaitMs = () => Infinity } = options
  const channel = await openChannel(aws, Math.max(config.waitSeconds, 1))
  const bodies = await openBodies(aws, config.bucket)
  const states = await openStates(aws, config.table, now)
  const post = createPost({ channel, config, now, maxDelaySeconds, longestWaitMs })
  const census = createCensus({ channel, config, monotonic })
  const shared = { config, now, monotonic, channel, bodies, states, post, census, onError, asideSeconds }
  const engine: Engine = { ...shared, held: new WeakMap(), statesInDoubt: false }
  const mover = startMover(engine)
  const pending = new Set<Promise<unknown>>()

  /** Closing waits for it. */
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
    holds: (held: Lease) => stillHeld(engine, held) !== undefined,
    extend: (held: Lease, leaseMs: number) => underWay(extend(engine, held, leaseMs)),
    record: (held: Lease, destinations: Destination[]) => underWay(record(engine, held, destinations)),
    settle: (held: Lease, outcome: Outcome, dsn?: Dsn) => underWay(settle(engine, held, outcome, dsn)),
    release: (held: Lease) => underWay(release(engine, held)),
    stats: () => census.stats(),
    statsMs: config.statsMs,
    waits: config.waitSeconds > 0,
    settled: (id: string) => underWay(states.isDone(id)),
    failure: () => undefined,
    problem: () => null,
    close: async (): Promise<void> => {
      await mover.stop()
      while (pending.size > 0) await Promise.allSettled(pending)
      for (const part of [channel, bodies, states]) part.close()
    },
  } satisfies Queue
}

async function enqueue(engine: Engine, entry: NewEntry, body: Buffer): Promise<string> {
  const { config, bodies, census, now, post } = engine
  const entries = await census.entries()
  if (entries >= config.maxEntries)
    throw new QueueFullError(`the queue holds about ${entries} entries, its bound is ${config.maxEntries}`)
  const made = newEntry(entry, body, now())
  const { parcel, inline } = pack(made, body, config.inlineBytes, { tracked: false })
  // First, so that no message is ever without its body. What a failed send leaves is the bucket's lifecycle's.
  if (!inline) await bodies.put(made.id, body)
  await post.send(parcel, { repeat: false })
  census.added()
  return made.id
}
