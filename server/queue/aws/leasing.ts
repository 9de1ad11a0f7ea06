// Leasing. Owns: which received message becomes a lease, and what becomes of the others: a copy of what is done or past
// is finished and deleted, one that another holds waits for that lease to end, one of an unknown version is put aside,
// one that cannot be read is left to SQS, which makes it a dead letter after its last receive.
// Fails with the SDK's error when nothing was leased because AWS did not answer.
import { randomBytes } from 'node:crypto'
import type { Lease } from '../entry.ts'
import { KNOWN_VERSIONS } from '../version.ts'
import { RECEIVED_AT_ONCE, retrySeconds, type Received } from './sqs.ts'
import type { Engine } from './types.ts'
import { labelOf, unpack, withText, type Label } from './message.ts'
import { finish } from './settling.ts'

/** The longest that SQS holds a message. */
const MAX_HOLD_SECONDS = 43_200

/** Attribute with the id of the message in which an entry of an unknown version was first met. */
const FIRST_MET = 'firstMet'

export async function lease(engine: Engine, max: number, leaseMs: number): Promise<Lease[]> {
  // A message that is received and cannot be claimed is a receive nearer to the dead letters.
  if (engine.statesInDoubt) {
    await engine.states.probe()
    engine.statesInDoubt = false
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
    if (results.length < RECEIVED_AT_ONCE) break
    left -= results.length
  }
  const [error] = errors
  if (error instanceof Error && leases.length === 0) throw error
  for (const each of errors) engine.onError('lease', each)
  return leases
}

/** One receive; an entry of the result for each message, or a single failure. */
async function leaseBatch(engine: Engine, max: number, leaseMs: number, pollSeconds: number) {
  const [answer] = await Promise.allSettled([receiveBatch(engine, max, leaseMs, pollSeconds)])
  if (answer.status === 'rejected') return [answer]
  return Promise.allSettled(answer.value.map(({ received, ends }) => leaseReceived(engine, received, ends)))
}

/**
 * SQS holds a message from when it gives it out, which may be any time of a long poll. It is asked to hold it for as
 * long as the poll may take besides, so that the lease can begin when the answer is here.
 */
async function receiveBatch(
  { channel, config, now, monotonic }: Engine,
  max: number,
  leaseMs: number,
  pollSeconds: number,
) {
  const holdSeconds = Math.min(MAX_HOLD_SECONDS, Math.ceil(leaseMs / 1_000) + pollSeconds)
  const askedMs = monotonic()
  const messages = await channel.receive(config.readyUrl, max, holdSeconds, pollSeconds)
  const answeredMs = monotonic()
  const monotonicExpiresMs = Math.min(answeredMs + leaseMs, askedMs + 1_000 * holdSeconds)
  const ends = { expiresMs: now() + monotonicExpiresMs - answeredMs, monotonicExpiresMs }
  return messages.map((received) => ({ received, ends }))
}

/** When a lease ends, by both clocks. */
type Ends = Pick<Lease, 'expiresMs' | 'monotonicExpiresMs'>

async function leaseReceived(engine: Engine, received: Received, ends: Ends): Promise<Lease | undefined> {
  try {
    return await leaseOf(engine, received, ends)
  } catch (error) {
    await delayRedelivery(engine, received, ends)
    throw error
  }
}

/** A message received in vain waits longer each time: an outage in part must not make a dead letter of it in minutes. */
async function delayRedelivery({ channel, config, monotonic }: Engine, received: Received, ends: Ends) {
  const seconds = retrySeconds(received.receives)
  if (monotonic() + 1_000 * seconds <= ends.monotonicExpiresMs) return
  // If this fails too, it comes back when its time is up.
  await channel.hold(config.readyUrl, received.receipt, seconds).catch(() => {})
}

async function leaseOf(engine: Engine, received: Received, ends: Ends): Promise<Lease | undefined> {
  const label = labelOf(received.parcel)
  if (label !== null && !KNOWN_VERSIONS.includes(label.version)) return requeueUnknown(engine, received)
  const read = readEntry(engine, received, label)
  if (read === undefined) return undefined
  const { entry, body, tracked } = read
  const held = { entry, token: randomBytes(12).toString('base64url'), ...ends }
  if (tracked) {
    const destinations = await claim(engine, received, held, body === null)
    if (destinations === undefined) return undefined
    entry.destinations = destinations
  }
  const { receipt, parcel } = received
  engine.held.set(held, { receipt, parcel, body, tracked })
  return held
}

function readEntry(engine: Engine, { parcel, messageId, receives }: Received, label: Label | null) {
  try {
    if (label === null) throw new Error('its attributes are none of an entry')
    // Received before: someone may have begun with it, and have stored how far they came.
    return { ...unpack(parcel, label), tracked: label.tracked || receives > 1 }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    engine.onError('read', new Error(`message ${messageId} cannot be read: ${reason}`, { cause }))
    return undefined
  }
}

/** Where the destinations stand, if the entry is ours now; else whatever the message still needs is done. */
async function claim(engine: Engine, received: Received, wanted: Lease, inBucket: boolean) {
  const { states, channel, config, now } = engine
  const { entry, token, expiresMs } = wanted
  const { id, attempts: generation, destinations } = entry
  const claimed = await states
    .claim(id, { token, generation, heldUntilMs: expiresMs, destinations })
    .catch((error: unknown) => {
      // The message stays held: given back, every instance would receive it once in vain.
      engine.statesInDoubt = true
      throw error
    })
  if (claimed.kind === 'claimed') return claimed.destinations
  if (claimed.kind === 'held') {
    const restSeconds = Math.max(0, Math.ceil((claimed.untilMs - now()) / 1_000))
    // The holder may extend its lease for half an hour, in which a copy would be received too often.
    const holdSeconds = Math.max(restSeconds + 1, retrySeconds(received.receives))
    await channel.hold(config.readyUrl, received.receipt, Math.min(MAX_HOLD_SECONDS, holdSeconds))
  } else await finish(engine, id, { ...received, inBucket }, { ...claimed, done: claimed.kind === 'done' })
  return undefined
}

/**
 * Sends the message again as it is, to be met again a little later, and deletes this one: a message that is only left
 * alone comes nearer to the dead letters each time it is received.
 */
async function requeueUnknown(
  { channel, config, census, asideSeconds }: Engine,
  received: Received,
): Promise<undefined> {
  const { messageId, receipt, parcel } = received
  const firstMet = parcel.attributes[FIRST_MET]?.StringValue ?? messageId
  census.metUnknown(firstMet)
  // Two may come of this: whoever knows the version finds them tracked, and works on one.
  const marked = withText(withText(parcel, FIRST_MET, firstMet), 'tracked', '1')
  await channel.send(config.readyUrl, marked, asideSeconds, { repeat: true })
  await channel.remove(config.readyUrl, receipt)
}
