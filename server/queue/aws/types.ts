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
  unknownDelaySeconds?: number
}

/** What is known of a lease here beside what its holder sees. */
export type LeaseState = {
  receipt: string
  message: SqsMessage
  /** null: it is in the bucket. */
  body: Buffer | null
  /** Its state is in DynamoDB, held by the lease's token. */
  tracked: boolean
  /** The DSN that goes with the outcome, once it is packed: a second try must not make another. */
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
  /** By the lease given out; one that is not here was settled or given back. */
  leaseStates: WeakMap<Lease, LeaseState>
  /** DynamoDB did not answer: nothing is received before it does. */
  statesUnavailable: boolean
}
