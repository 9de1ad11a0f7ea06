// Turns received messages into leases. Fails with the SDK's error when AWS did not answer and nothing was leased. Owns:
// what happens to the other messages.
// - A copy of a removed or past entry is finished and deleted.
// - A message of an entry that another token holds waits for the end of that lease.
// - A message of an unknown version is sent again with a delay.
// - An unreadable message stays; SQS moves it to the dead-letter queue after its last receive.
import { randomBytes } from 'node:crypto'
import type { Lease } from '../entry.ts'
import { KNOWN_VERSIONS } from '../version.ts'
import { RECEIVE_BATCH, retrySeconds, type ReceivedSqsMessage } from './sqs.ts'
import type { AwsEngine } from './types.ts'
import { decodeAttributes, unpack, withAttribute, type MessageAttributes } from './message.ts'
import { finish } from './settling.ts'

/** SQS's longest visibility timeout. */
const MAX_HOLD_SECONDS = 43_200

/** Attribute with the id of the message in which an entry of an unknown version first came. */
const FIRST_MET = 'firstMet'

export async function lease(engine: AwsEngine, max: number, leaseMs: number): Promise<Lease[]> {
  // Each receive counts towards the dead-letter queue, so receive nothing while DynamoDB does not answer.
  if (engine.statesUnavailable) {
    await engine.states.probe()
    engine.statesUnavailable = false
  }
  const leases: Lease[] = []
  const errors: unknown[] = []
  let pollSeconds = engine.config.waitSeconds
  for (let left = max; left > 0 && errors.length === 0; pollSeconds = 0) {
    const results = await leaseBatch(engine, left, leaseMs, pollSeconds)
    for (const result of results) {
      if (result.status === 'rejected') errors.push(result.reason)
      else if (result.value !== undefined) leases.push(result.value)
    }
    if (results.length < RECEIVE_BATCH) break
    left -= results.length
  }
  const [error] = errors
  if (error instanceof Error && leases.length === 0) throw error
  for (const each of errors) engine.onError('lease', each)
  return leases
}

/** One receive. Returns a result for each message, or a single failure. */
async function leaseBatch(engine: AwsEngine, max: number, leaseMs: number, pollSeconds: number) {
  const [answer] = await Promise.allSettled([receiveBatch(engine, max, leaseMs, pollSeconds)])
  if (answer.status === 'rejected') return [answer]
  return Promise.allSettled(answer.value.map(({ received, ends }) => leaseReceived(engine, received, ends)))
}

/**
 * The visibility timeout starts when SQS returns the message, at any time of a long poll. So the call asks for the
 * lease time plus the poll time, and the lease can start when the answer arrives.
 */
async function receiveBatch(
  { sqs, config, now, monotonic }: AwsEngine,
  max: number,
  leaseMs: number,
  pollSeconds: number,
) {
  const holdSeconds = Math.min(MAX_HOLD_SECONDS, Math.ceil(leaseMs / 1_000) + pollSeconds)
  const askedMs = monotonic()
  const messages = await sqs.receive(config.readyUrl, max, holdSeconds, pollSeconds)
  const answeredMs = monotonic()
  const monotonicExpiresMs = Math.min(answeredMs + leaseMs, askedMs + 1_000 * holdSeconds)
  const ends = { expiresMs: now() + monotonicExpiresMs - answeredMs, monotonicExpiresMs }
  return messages.map((received) => ({ received, ends }))
}

/** When a lease ends, by both clocks. */
type Ends = Pick<Lease, 'expiresMs' | 'monotonicExpiresMs'>

async function leaseReceived(
  engine: AwsEngine,
  received: ReceivedSqsMessage,
  ends: Ends,
): Promise<Lease | undefined> {
  try {
    return await leaseOf(engine, received, ends)
  } catch (error) {
    await delayRedelivery(engine, received, ends)
    throw error
  }
}

/**
 * Hides a message longer after each failed receive, so that a partial outage does not make it a dead letter in minutes.
 */
async function delayRedelivery(
  { sqs, config, monotonic }: AwsEngine,
  received: ReceivedSqsMessage,
  ends: Ends,
) {
  const seconds = retrySeconds(received.receiveCount)
  if (monotonic() + 1_000 * seconds <= ends.monotonicExpiresMs) return
  // If this fails too, the message returns when its visibility timeout ends.
  await sqs.changeVisibility(config.readyUrl, received.receipt, seconds).catch(() => {})
}

async function leaseOf(
  engine: AwsEngine,
  received: ReceivedSqsMessage,
  ends: Ends,
): Promise<Lease | undefined> {
  const attributes = decodeAttributes(received.message)
  if (attributes !== null && !KNOWN_VERSIONS.includes(attributes.version))
    return requeueUnknown(engine, received)
  const read = readEntry(engine, received, attributes)
  if (read === undefined) return undefined
  const { entry, body, tracked } = read
  const held = { entry, token: randomBytes(12).toString('base64url'), ...ends }
  if (tracked) {
    const destinations = await claim(engine, received, held, body === null)
    if (destinations === undefined) return undefined
    entry.destinations = destinations
  }
  const { receipt, message } = received
  engine.leaseStates.set(held, { receipt, message, body, tracked })
  return held
}

function readEntry(
  engine: AwsEngine,
  { message, messageId, receiveCount }: ReceivedSqsMessage,
  attributes: MessageAttributes | null,
) {
  try {
    if (attributes === null) throw new Error('its attributes are none of an entry')
    // Received before: another holder may have started and stored its progress.
    return { ...unpack(message, attributes), tracked: attributes.tracked || receiveCount > 1 }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    engine.onError('read', new Error(`message ${messageId} cannot be read: ${reason}`, { cause }))
    return undefined
  }
}

/** Claims the entry and returns its destinations. If the claim fails, does what the message still needs. */
async function claim(engine: AwsEngine, received: ReceivedSqsMessage, wanted: Lease, inBucket: boolean) {
  const { states, sqs, config, now } = engine
  const { entry, token, expiresMs } = wanted
  const { id, attempts: generation, destinations } = entry
  const claimed = await states
    .claim(id, { token, generation, heldUntilMs: expiresMs, destinations })
    .catch((error: unknown) => {
      // The message stays hidden. If it were released, every instance would receive it once without use.
      engine.statesUnavailable = true
      throw error
    })
  if (claimed.kind === 'claimed') return claimed.destinations
  if (claimed.kind === 'held') {
    const restSeconds = Math.max(0, Math.ceil((claimed.untilMs - now()) / 1_000))
    // The holder may extend its lease for half an hour. Without the longer pause, a copy would be received too often.
    const holdSeconds = Math.max(restSeconds + 1, retrySeconds(received.receiveCount))
    await sqs.changeVisibility(config.readyUrl, received.receipt, Math.min(MAX_HOLD_SECONDS, holdSeconds))
  } else await finish(engine, id, { ...received, inBucket }, { ...claimed, done: claimed.kind === 'done' })
  return undefined
}

/**
 * Sends the message again unchanged and with a delay, then deletes the received one. Without this, each
 * receive would count towards the dead-letter queue.
 */
async function requeueUnknown(
  { sqs, config, counters, unknownDelaySeconds }: AwsEngine,
  received: ReceivedSqsMessage,
): Promise<undefined> {
  const { messageId, receipt, message } = received
  const firstMet = message.attributes[FIRST_MET]?.StringValue ?? messageId
  counters.sawUnknownVersion(firstMet)
  // Two copies may result. A release that knows the version finds them tracked and works on one.
  const marked = withAttribute(withAttribute(message, FIRST_MET, firstMet), 'tracked', '1')
  await sqs.send(config.readyUrl, marked, unknownDelaySeconds, { repeat: true })
  await sqs.remove(config.readyUrl, receipt)
}
