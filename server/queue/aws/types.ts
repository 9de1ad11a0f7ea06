// Types that the parts of the queue on AWS share. Each part owns the type of what it makes; this file joins them.
import type { AwsSettings } from '../../aws/clients.ts'
import type { Config } from '../../config/schema.ts'
import type { Lease } from '../entry.ts'
import type { BodyStore } from './bodies.ts'
import type { QueueCounters } from './counters.ts'
import type { DeliveryStates } from './delivery-state.ts'
import type { SqsMessage } from './message.ts'
import type { MessageSender } from './sender.ts'
import type { SqsCalls } from './sqs.ts'

export type AwsQueueConfig = Extract<Config['queue'], { engine: 'aws' }>

/** Gets each error that no caller waits for; `where` names the step. */
export type OnError = (where: string, error: unknown) => void

export type AwsQueueOptions = {
  queue: AwsQueueConfig
  aws: AwsSettings
  onError?: OnError
  /** The wall clock, ms since the epoch. Default Date.now. */
  now?: () => number
  /** The monotonic clock in ms. Default: `now` if that is given, else performance.now. */
  monotonic?: () => number
  /** The longest wait that the retry schedule gives after so many attempts. Default: no limit. */
  longestWaitMs?: (attempts: number) => number
  /** The longest delay of an SQS message. Default 900, SQS's maximum. */
  maxDelaySeconds?: number
  /** How long an entry of an unknown version is delayed after each receive. Default 30. */
  unknownDelaySeconds?: number
}

/** What the engine knows of a lease beyond what its holder sees. */
export type LeaseState = {
  receipt: string
  message: SqsMessage
  /** null: the body is in the bucket. */
  body: Buffer | null
  /** The entry's state is in DynamoDB, held by the lease's token. */
  tracked: boolean
  /** The packed DSN of the settlement. A repeated call must not make a second one. */
  notice?: SqsMessage
}

/** What the parts of the engine share. */
export type AwsEngine = {
  config: AwsQueueConfig
  now: () => number
  monotonic: () => number
  sqs: SqsCalls
  bodies: BodyStore
  states: DeliveryStates
  sender: MessageSender
  counters: QueueCounters
  onError: OnError
  unknownDelaySeconds: number
  /** By lease. A lease that is not in here was settled or released. */
  leaseStates: WeakMap<Lease, LeaseState>
  /** DynamoDB did not answer. The engine receives nothing until it does. */
  statesUnavailable: boolean
}
