// The queue on AWS: envelopes are messages of SQS, large bodies are in S3, and where an entry stands is in DynamoDB as
// soon as that matters (decision 032). Owns: opening and closing, enqueue and its bound, and what the parts share.
// An entry of one destination that is delivered at once costs three calls of SQS and nothing else.
// Nothing is asked of AWS when the queue is opened: it may be down. Every call fails with the SDK's error while it is.
import type { AwsSettings } from '../../aws/clients.ts'
import type { Config } from '../../config/schema.ts'
import type { Destination, Lease, NewEntry } from '../entry.ts'
import { newEntry } from '../new-entry.ts'
import { QueueFullError, type Dsn, type Outcome, type Queue } from '../queue.ts'
import { openBodies, type Bodies } from './bodies.ts'
import { openChannel, type Channel } from './sqs.ts'
import { createCensus, type Census } from './counters.ts'
import { bodyOf, extend, record, release, stillHeld } from './lease-state.ts'
import { lease } from './leasing.ts'
import { pack, type Parcel } from './message.ts'
import { startMover } from './mover.ts'
import { createPost, type Post } from './sender.ts'
import { settle } from './settling.ts'
import { openStates, type States } from './delivery-state.ts'

export type AwsQueueConfig = Extract<Config['queue'], { engine: 'aws' }>

/** Told of what goes wrong where no caller waits for an answer: `where` names the step. */
export type OnError = (where: string, error: unknown) => void

export type AwsQueueOptions = {
  queue: AwsQueueConfig
  aws: AwsSettings
  onError?: OnError
  /** The wall clock, ms since the epoch. Default Date.now. */
  now?: () => number
  /** The monotonic clock in ms. Default: `now` if that is given, else performance.now. */
  monotonic?: () => number
  /** The longest wait that an entry is given after so many attempts. Default: any. */
  longestWaitMs?: (attempts: number) => number
  /** The longest delay that is asked of SQS. Default 900, the longest it takes. */
  maxDelaySeconds?: number
  /** How long an entry of an unknown version is out of the way each time it is met. Default 30. */
  asideSeconds?: number
}

/** What is known of a lease here beside what its holder sees. */
export type Held = {
  receipt: string
  parcel: Parcel
  /** null: it is in the bucket. */
  body: Buffer | null
  /** Its state is in DynamoDB, held by the lease's token. */
  tracked: boolean
  /** The DSN that goes with the outcome, once it is packed: a second try must not make another. */
  notice?: Parcel
}

/** What the parts of the engine share. */
export type Engine = {
  config: AwsQueueConfig
  now: () => number
  monotonic: () => number
  channel: Channel
  bodies: Bodies
  states: States
  post: Post
  census: Census
  onError: OnError
  asideSeconds: number
  /** By the lease given out; one that is not here was settled or given back. */
  held: WeakMap<Lease, Held>
  /** DynamoDB did not answer: nothing is received before it does. */
  statesInDoubt: boolean
}

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
