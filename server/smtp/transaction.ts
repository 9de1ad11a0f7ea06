// One mail transaction, from MAIL to the reply after the final dot. Owns: the promise of the 250, which is sent only
// after the queue has the message on stable storage. Every other end is a refusal from refusal.ts.
// An unexpected error is counted and answered 451, so that the client retries.
import type {
  SMTPServerAddress,
  SMTPServerDataStream,
  SMTPServerEnvelope,
  SMTPServerSession,
} from 'smtp-server'
import type { Config } from '../config/schema.ts'
import type { Metrics } from '../metrics.ts'
import { awsErrorFields } from '../aws/errors.ts'
import type { Log } from '../log.ts'
import { readTrace, receivedField } from '../message.ts'
import { addressKey, formatAddress, parseAddress } from '../address.ts'
import { isOwnAddress } from '../delivery/srs.ts'
import type { Destination, NewEntry } from '../queue/entry.ts'
import { QueueFullError, SlowCommitError, type Queue } from '../queue/queue.ts'
import type { RouteSource } from '../routing/file-source.ts'
import { roleMailbox } from '../routing/table.ts'
import { admitMessage, type LoadMonitor } from './admission.ts'
import { createBounceLimit, type BounceLimit } from './bounce-limit.ts'
import { canaryEntry, canaryRefusal, type CanaryGate } from './canary.ts'
import { createMessageBuffer, receiveMessage, type MessageBuffer } from './receive.ts'
import { decideRecipient } from './recipients.ts'
import { refusals, type SmtpRefusal } from './refusal.ts'

/** More passes through this host than this mean a mail loop. */
const OWN_HOPS = 10

export type TransactionContext = {
  config: Config
  queue: Pick<Queue, 'enqueue'>
  routes: RouteSource
  loadMonitor: LoadMonitor
  metrics: Metrics
  log: Log
  canary: Pick<CanaryGate, 'admits'>
  /** Called after each message is queued. */
  onQueued: () => void
}

/** The recipients resolved so far, stored for the lifetime of the library's envelope. */
type Recipients = { byAlias: Map<string, Destination[]>; mailboxes: Set<string>; bounces: BounceLimit }

/** The refusal, or null to accept. */
type Decision = SmtpRefusal | null

export type Transactions = {
  /** MAIL FROM. */
  mail: (address: SMTPServerAddress, session: SMTPServerSession) => Decision
  /** RCPT TO. */
  recipient: (address: SMTPServerAddress, session: SMTPServerSession) => Decision
  /** DATA: receives and queues the message. Rejects when the client disconnects during it. */
  data: (stream: SMTPServerDataStream, session: SMTPServerSession) => Promise<{ id: string } | SmtpRefusal>
}

/** The handlers of all sessions. */
export function createTransactions(context: TransactionContext): Transactions {
  const bounces = createBounceLimit(context.config.limits.bouncesPerHour)
  const recipientsOf = new WeakMap<SMTPServerEnvelope, Recipients>()
  return {
    // A backlog does not refuse a canary: the backlog is why its instance was launched.
    mail: (address, session) =>
      context.canary.admits(address.address, session) ? null : decideMail(address, context),
    recipient: (address, session) => {
      const { envelope } = session
      if (isCanary(session, context))
        return context.canary.admits(address.address, session) ? null : refusals.relay
      const known = recipientsOf.get(envelope) ?? { byAlias: new Map(), mailboxes: new Set(), bounces }
      recipientsOf.set(envelope, known)
      return decideRecipients(address, envelope, known, context)
    },
    data: async (stream, session) => {
      const recipients = recipientsOf.get(session.envelope)
      const canary = isCanary(session, context)
      const { load } = context.loadMonitor
      const blocks = createMessageBuffer(load)
      try {
        const received = await receiveMessage(stream, blocks, load, context.config.limits)
        if ('code' in received) return canary ? canaryRefusal(received) : received
        if (canary) return await queueCanary(context, blocks)
        if (recipients === undefined) return refusals.internal
        return await queueMessage(context, { ...received, blocks, session, recipients })
      } finally {
        blocks.release()
      }
    },
  }
}

/** Whether the reverse path is the canary address. */
function isCanary(session: SMTPServerSession, { canary }: TransactionContext): boolean {
  const { mailFrom } = session.envelope
  return mailFrom !== false && canary.admits(mailFrom.address, session)
}

/** Decides on MAIL: its parameters, the sender address, and the room in the queue. */
function decideMail(address: SMTPServerAddress, { config, loadMonitor }: TransactionContext): Decision {
  const args = address.args === false ? {} : address.args
  if (args['SMTPUTF8'] !== undefined) return refusals.noSmtpUtf8
  if (args['REQUIRETLS'] !== undefined) return refusals.noRequireTls
  if (hasUnknown(args, MAIL_PARAMETERS)) return refusals.unknownParameter
  if (!isAscii(address.address)) return refusals.notAscii
  const sender = parseAddress(address.address)
  if (address.address !== '' && sender === null) return refusals.badSender
  // A sender at the SRS domain is forwarded unchanged and passes SPF. Accept only addresses that we signed.
  if (sender?.domain === config.srs.domain && !isOwnAddress(config.srs, sender.local, Date.now()))
    return refusals.unsignedSender
  const { queue } = config
  // SQS and S3 have no limit on the queue's bytes.
  const bounds = {
    maxEntries: queue.maxEntries,
    maxBytes: queue.engine === 'embedded' ? queue.maxBytes : Infinity,
  }
  return admitMessage(loadMonitor.load, Number(args['SIZE'] ?? 0), config.limits, bounds)
}

/** The parameters of 8BITMIME (RFC 6152) and SIZE (RFC 1870). */
const MAIL_PARAMETERS = ['BODY', 'SIZE']

function hasUnknown(args: object, known: readonly string[]): boolean {
  return Object.keys(args).some((key) => !known.includes(key))
}

/** Whether the local part is ASCII. A Unicode domain is allowed; it becomes A-labels. */
function isAscii(address: string): boolean {
  // eslint-disable-next-line no-control-regex
  return /^[\x00-\x7f]*$/.test(address.slice(0, Math.max(address.lastIndexOf('@'), 0)))
}

/** Resolves the alias at RCPT, so that the sender gets the refusal of an unknown alias directly. */
function decideRecipients(
  address: SMTPServerAddress,
  envelope: SMTPServerEnvelope,
  known: Recipients,
  { config, routes }: TransactionContext,
): Decision {
  const { limits, srs, hostname } = config
  if (hasUnknown(address.args === false ? {} : address.args, [])) return refusals.unknownParameter
  if (known.byAlias.size >= limits.recipients) return refusals.tooManyRecipients
  if (!isAscii(address.address)) return refusals.notAscii
  const fromNull = envelope.mailFrom !== false && envelope.mailFrom.address === ''
  const about = { routes: routes.current(), srs, hostname, roles: roleMailbox(config), nowMs: Date.now() }
  const decision = decideRecipient(address.address, fromNull, about)
  if (decision.kind === 'refused') return decision.refusal
  if (decision.bounce && !known.bounces.admits(decision.alias, Date.now())) return refusals.bounceRate
  // A mailbox behind two aliases gets the message once.
  const fresh = decision.destinations.filter((mailbox) => !known.mailboxes.has(addressKey(mailbox)))
  if (known.mailboxes.size + fresh.length > limits.destinations) return refusals.tooManyRecipients
  for (const mailbox of fresh) known.mailboxes.add(addressKey(mailbox))
  const alias = decision.alias.toLowerCase()
  const destinations = fresh.map((mailbox) => pending(formatAddress(mailbox), decision.alias))
  known.byAlias.set(alias, [...(known.byAlias.get(alias) ?? []), ...destinations])
  return null
}

function pending(address: string, originalRecipient: string): Destination {
  return { address, originalRecipient, state: 'pending', reply: '', status: '', remoteHost: '' }
}

const EMPTY_LINE = Buffer.from('\r\n')

/** A first line that starts like a folded line would continue our Received field, so an empty line is put before it. */
function isFold(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09
}

/** Refuses a mail loop, and a message with too many Received fields (RFC 5321 section 6.3). */
function checkTrace(message: Buffer, aliases: readonly string[], { hostname, limits }: Config): Decision {
  const trace = readTrace(message, hostname, limits.headerBytes)
  if (trace.headerBytes > limits.headerBytes) return refusals.headerTooLarge
  if (trace.received > limits.receivedHeaders) return refusals.tooManyHops
  if (trace.receivedHere > OWN_HOPS) return refusals.mailLoop
  return aliases.some((alias) => trace.deliveredTo.includes(alias)) ? refusals.mailLoop : null
}

type Accepted = {
  blocks: MessageBuffer
  eightBit: boolean
  session: SMTPServerSession
  recipients: Recipients
}

async function queueMessage(
  context: TransactionContext,
  { blocks, eightBit, session, recipients }: Accepted,
): Promise<{ id: string } | SmtpRefusal> {
  const { config, loadMonitor, metrics, log, onQueued } = context
  const { mailFrom, bodyType } = session.envelope
  const aliases = [...recipients.byAlias.keys()]
  const atMs = Date.now()
  const traceId = `${session.id}.${session.transaction}`
  const trace = traceField(session, { traceId, aliases, hostname: config.hostname, atMs })
  const body = blocks.join(isFold(blocks.first()) ? [trace, EMPTY_LINE] : [trace])
  const refusal = checkTrace(body.subarray(trace.length), aliases, config)
  if (refusal !== null) return refusal
  const sender = mailFrom === false ? null : parseAddress(mailFrom.address)
  const reversePath = sender === null ? '' : formatAddress(sender)
  const entry = {
    reversePath,
    destinations: [...recipients.byAlias.values()].flat(),
    sizeBytes: body.length,
    acceptedMs: atMs,
    dueMs: atMs,
    expiresMs: atMs + config.retry.lifetimeMs,
    eightBit: eightBit || bodyType === '8bitmime',
    smtpUtf8: false,
  }
  const id = await store(context, entry, body, { traceId })
  if (typeof id !== 'string') return id
  loadMonitor.accepted(body.length)
  metrics.accepted.inc()
  log('accepted', {
    id,
    traceId,
    client: session.remoteAddress,
    reversePath,
    aliases,
    sizeBytes: body.length,
  })
  onQueued()
  return { id }
}

/** Queues a canary. It is not counted as accepted, since it is no mail. */
async function queueCanary(
  context: TransactionContext,
  blocks: MessageBuffer,
): Promise<{ id: string } | SmtpRefusal> {
  const body = blocks.join([])
  const id = await store(context, canaryEntry(body.length, Date.now()), body, { canary: true })
  if (typeof id !== 'string') return canaryRefusal(id)
  context.onQueued()
  return { id }
}

/** Queues an entry. @returns its id once it is on stable storage, or the refusal */
async function store(
  { queue, metrics, log }: TransactionContext,
  entry: NewEntry,
  body: Buffer,
  about: object,
): Promise<string | SmtpRefusal> {
  try {
    return await queue.enqueue(entry, body)
  } catch (error) {
    if (error instanceof QueueFullError) return refusals.queueFull
    if (error instanceof SlowCommitError) metrics.slowCommits.inc()
    metrics.errors.inc({ where: 'enqueue' })
    log('enqueue-failed', { ...about, ...awsErrorFields(error) })
    return refusals.queueDown
  }
}

function traceField(
  session: SMTPServerSession,
  about: { traceId: string; aliases: readonly string[]; hostname: string; atMs: number },
): Buffer {
  const { aliases, ...rest } = about
  return receivedField({
    ...rest,
    helo: session.hostNameAppearsAs,
    clientAddress: session.remoteAddress,
    protocol: session.transmissionType,
    recipient: aliases.length === 1 ? aliases[0]! : null,
  })
}
