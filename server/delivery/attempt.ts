// One attempt at one leased entry, from its pending destinations to the settlement. Owns: the order of the steps.
// The queue stores what a host acknowledged before the next host is contacted. The end of the attempt (removal, next
// attempt, DSN) is one commit. A lost lease ends the attempt, since another process has the entry.
import type { Destination, Entry, Lease, NewEntry } from '../queue/entry.ts'
import type { Queue } from '../queue/queue.ts'
import { parseAddress } from '../address.ts'
import { buildDsn } from './dsn.ts'
import { failed, type DeliveryResult } from './delivery-result.ts'
import { leastAttempts, nextAttempt, type RetrySchedule } from './retry-schedule.ts'
import type { LeaseGuard } from './lease-keeper.ts'
import { LeaseLostError, type OutgoingEnvelope, type DeliveryResults } from './send.ts'
import { rewriteSrs, type SrsConfig } from './srs.ts'

export type AttemptContext = {
  queue: Pick<Queue, 'body' | 'record' | 'settle'>
  hold: LeaseGuard
  /**
   * Sends to recipients of one domain, or through the relay. @throws {LeaseLostError} if nothing can have been
   * delivered.
   */
  deliver: Deliver
  /** Where a DSN for this sender goes: to the sender, or to the mailboxes behind it if it is one of our aliases. */
  sendersMailboxes: (sender: string) => string[]
  srs: SrsConfig
  hostname: string
  retry: RetrySchedule & { lifetimeMs: number }
  /** All mail goes through one relay, so recipients are not grouped by domain. */
  relayed: boolean
  now: () => number
  random: () => number
}

export type Deliver = (
  domain: string,
  envelope: OutgoingEnvelope,
  message: readonly Buffer[],
  hold: LeaseGuard,
) => Promise<DeliveryResults>

export type AttemptReport = {
  /** Whether the queue stored the settlement. False: the lease was lost. */
  settled: boolean
  results: { destination: Destination; result: DeliveryResult }[]
  /** When the next attempt is due; null when the entry has left the queue. */
  nextMs: number | null
  dsn: 'none' | 'queued' | 'no-return-path'
}

/** Most recipients in one transaction. RFC 5321 section 4.5.3.1.8 requires servers to take 100; some take fewer. */
const RECIPIENTS_AT_ONCE = 50

/** Tries every pending destination once and settles the entry. Throws only an error of the queue, or a bug. */
export async function attempt(lease: Lease, context: AttemptContext): Promise<AttemptReport> {
  const { entry } = lease
  const body = await context.queue.body(lease)
  const results: AttemptReport['results'] = []
  let destinations = entry.destinations
  const groups = groupDestinations(destinations, context.relayed)
  for (const [index, group] of groups.entries()) {
    const groupResults = await deliverGroup(group, entry, body, context)
    if (groupResults === 'lost') return { settled: false, results, nextMs: null, dsn: 'none' }
    destinations = destinations.map((destination) => {
      const result = group.destinations.includes(destination)
        ? groupResults.get(destination.address)
        : undefined
      if (result === undefined) return destination
      const updated = applyResult(destination, result)
      results.push({ destination: updated, result })
      return updated
    })
    const acknowledged = [...groupResults.values()].some(({ kind }) => kind === 'delivered')
    if (acknowledged && index < groups.length - 1) {
      // Failed destinations stay pending here. The commit that queues their DSN stores 'failed'.
      const held = await context.queue.record(lease, destinations.map(asPending))
      if (!held) return { settled: false, results, nextMs: null, dsn: 'none' }
    }
  }
  return settle(lease, body, { destinations, results }, context)
}

type Group = { domain: string; alias: string; destinations: Destination[] }

/** Groups pending destinations that can share a transaction: same next host and, for Delivered-To, same alias. */
function groupDestinations(destinations: readonly Destination[], relayed: boolean): Group[] {
  const groups: Group[] = []
  for (const destination of destinations) {
    if (destination.state !== 'pending') continue
    const domain = relayed ? '' : (parseAddress(destination.address)?.domain ?? '')
    const alias = destination.originalRecipient
    const group = groups.find(
      (candidate) =>
        candidate.domain === domain &&
        candidate.alias === alias &&
        candidate.destinations.length < RECIPIENTS_AT_ONCE,
    )
    if (group === undefined) groups.push({ domain, alias, destinations: [destination] })
    else group.destinations.push(destination)
  }
  return groups
}

/** 'lost': the lease was lost before the host can have taken the message. */
async function deliverGroup(
  group: Group,
  entry: Entry,
  body: Buffer,
  context: AttemptContext,
): Promise<DeliveryResults | 'lost'> {
  // The process or the machine may have been stopped, and another process may be sending to this group by now.
  if (context.hold.isLost()) return 'lost'
  const recipients = group.destinations.map(({ address }) => address)
  if (!context.relayed && group.domain === '') {
    return new Map(
      recipients.map((recipient) => [recipient, failed(`not an address: ${recipient}`, '5.1.3')]),
    )
  }
  const envelope = {
    reversePath: rewriteSrs(context.srs, entry.reversePath, context.now()),
    recipients,
    eightBit: entry.eightBit,
  }
  // Delivered-To marks where the message has been, for loop detection. Mail to the original address itself (a
  // DSN to its sender) gets no such field: with one, the next host would detect a loop.
  const marked = !recipients.some((recipient) => recipient.toLowerCase() === group.alias.toLowerCase())
  const mark = marked ? [Buffer.from(`Delivered-To: ${group.alias}\r\n`)] : []
  try {
    return await context.deliver(group.domain, envelope, [...mark, body], context.hold)
  } catch (error) {
    if (error instanceof LeaseLostError) return 'lost'
    throw error
  }
}

function applyResult(destination: Destination, result: DeliveryResult): Destination {
  const { reply, status, remoteHost } = result
  const state = result.kind === 'deferred' ? 'pending' : result.kind
  return { ...destination, state, reply, status, remoteHost }
}

function asPending(destination: Destination): Destination {
  return destination.state === 'failed' ? { ...destination, state: 'pending' } : destination
}

async function settle(
  lease: Lease,
  body: Buffer,
  attempted: { destinations: Destination[]; results: AttemptReport['results'] },
  context: AttemptContext,
): Promise<AttemptReport> {
  const { results } = attempted
  const { entry } = lease
  const nowMs = context.now()
  const due = nextAttempt(
    context.retry,
    {
      attempts: entry.attempts + 1,
      expiresMs: entry.expiresMs,
      nowMs,
      leastAttempts: leastAttempts(context.retry, context.retry.lifetimeMs),
    },
    context.random(),
  )
  const destinations =
    due === null
      ? attempted.destinations.map((destination) => expire(destination, entry, nowMs))
      : attempted.destinations
  // Destinations that failed before this attempt have been reported already.
  const before = new Map(
    entry.destinations.map(({ address, originalRecipient, state }) => [
      `${originalRecipient} ${address}`,
      state,
    ]),
  )
  const newlyFailed = destinations.filter(
    ({ address, originalRecipient, state }) =>
      state === 'failed' && before.get(`${originalRecipient} ${address}`) !== 'failed',
  )
  const notice = newlyFailed.length === 0 ? null : await composeDsn(entry, body, newlyFailed, context)
  const nextMs = destinations.some(({ state }) => state === 'pending') ? due : null
  const settled = await context.queue.settle(
    lease,
    nextMs === null ? { kind: 'remove' } : { kind: 'reschedule', dueMs: nextMs, destinations },
    notice ?? undefined,
  )
  const dsn = newlyFailed.length === 0 ? 'none' : notice === null ? 'no-return-path' : 'queued'
  return { settled, results, nextMs, dsn }
}

/** Fails a destination whose lifetime is over. RFC 3463: 4.4.7, delivery time expired. */
function expire(destination: Destination, entry: Entry, nowMs: number): Destination {
  if (destination.state !== 'pending') return destination
  const hours = Math.round((nowMs - entry.acceptedMs) / 3_600_000)
  const last = destination.reply === '' ? '' : `; last reply: ${destination.reply}`
  return {
    ...destination,
    state: 'failed',
    status: '4.4.7',
    reply: `not delivered within ${hours} hours${last}`,
  }
}

/** The DSN as a queue entry; null without a return path (RFC 5321 section 4.5.5). */
async function composeDsn(
  entry: Entry,
  body: Buffer,
  failures: readonly Destination[],
  context: AttemptContext,
): Promise<{ entry: NewEntry; body: Buffer } | null> {
  if (entry.reversePath === '') return null
  const mailboxes = context.sendersMailboxes(entry.reversePath)
  if (mailboxes.length === 0) return null
  const nowMs = context.now()
  const message = await buildDsn({ entry, body, failed: failures, hostname: context.hostname, nowMs })
  return {
    entry: {
      reversePath: '',
      destinations: mailboxes.map((address) => ({
        address,
        originalRecipient: entry.reversePath,
        state: 'pending',
        reply: '',
        status: '',
        remoteHost: '',
      })),
      sizeBytes: message.length,
      acceptedMs: nowMs,
      dueMs: nowMs,
      expiresMs: nowMs + context.retry.lifetimeMs,
      eightBit: false,
      smtpUtf8: false,
    },
    body: message,
  }
}

/** Reschedules an entry whose attempt threw. The pause grows, and retries go on even after the entry's lifetime. */
export async function reschedule(
  lease: Lease,
  context: Pick<AttemptContext, 'queue' | 'retry' | 'now' | 'random'>,
): Promise<number> {
  const { entry } = lease
  const nowMs = context.now()
  const dueMs =
    nextAttempt(
      context.retry,
      { attempts: entry.attempts + 1, expiresMs: Infinity, nowMs },
      context.random(),
    ) ?? nowMs
  await context.queue.settle(lease, { kind: 'reschedule', dueMs })
  return dueMs
}
