// Sends one message to its hosts in turn, in one SMTP transaction, with a result for each recipient. Owns: when to try
// another host or a new connection. That is allowed only before any byte of the message was sent, since a later retry
// could deliver twice. A lost lease ends the transaction before DATA and before the final dot. After the dot the reply is
// awaited.
import { Readable } from 'node:stream'
import type SMTPConnection from 'nodemailer/lib/smtp-connection'
import { connectionEnded, type Connection, type Connections } from './connection-pool.ts'
import { deferred, delivered, resultOfError, type DeliveryResult, type SendError } from './delivery-result.ts'
import type { LeaseGuard } from './lease-keeper.ts'
import type { MxHost } from './mx-hosts.ts'
import type { HostBackOff } from './host-back-off.ts'

export type OutgoingEnvelope = {
  reversePath: string
  recipients: readonly string[]
  eightBit: boolean
}

/** Result by recipient. */
export type DeliveryResults = Map<string, DeliveryResult>

/** The lease was lost before the final dot was sent, so the host cannot have taken the message. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError'
}

/** What to send: the pieces of `message`, as long as the lease is not lost. */
export type Delivery = { envelope: OutgoingEnvelope; message: readonly Buffer[]; hold: LeaseGuard }

type Sent = { results: DeliveryResults; connectionUsable: boolean } | { notStarted: SendError } | 'lost'

/** Most bytes handed to the connection at once. The lease is checked before each chunk. */
const CHUNK_BYTES = 65_536

export type Transport = {
  connections: Connections
  hostBackOff: HostBackOff
  /** Longest time for one message, from MAIL to the reply to the final dot. */
  transactionMs: number
}

/**
 * Sends a message to every recipient of its envelope through the first of `hosts` that starts a session.
 * @throws {LeaseLostError} if the lease is lost before the final dot is sent
 */
export async function send(
  transport: Transport,
  hosts: readonly MxHost[],
  delivery: Delivery,
): Promise<DeliveryResults> {
  const { envelope } = delivery
  let last: DeliveryResult = deferred('connect', 'no host to try', '4.4.1')
  for (const host of hosts) {
    const result = await sendTo(transport, host, delivery)
    if (result instanceof Map) return result
    last = result
  }
  return new Map(envelope.recipients.map((recipient) => [recipient, last]))
}

/** Results, or why this host started no transaction: unreachable, refused the session, or closed it too early. */
async function sendTo(
  { connections, hostBackOff, transactionMs }: Transport,
  host: MxHost,
  delivery: Delivery,
): Promise<DeliveryResults | DeliveryResult> {
  const idle = connections.take(host)
  if (idle !== null) {
    const sent = await transact(idle, delivery, transactionMs)
    if (sent === 'lost') throw new LeaseLostError()
    // The host may have closed the connection at that moment, which says nothing about the message.
    if (!('notStarted' in sent)) return finish(connections, idle, sent)
    idle.smtp.close()
  }
  if (!hostBackOff.mayTry(host)) return deferred('connect', 'host did not answer lately', '4.4.1', host.name)
  const startedMs = performance.now()
  let fresh: Connection
  try {
    fresh = await connections.open(host, delivery.hold.signal)
    hostBackOff.answered(host)
  } catch (error) {
    if (delivery.hold.isLost()) throw new LeaseLostError()
    hostBackOff.failed(host, startedMs)
    return notWelcome(error as SendError, host)
  }
  const sent = await transact(fresh, delivery, transactionMs)
  if (sent === 'lost') throw new LeaseLostError()
  if (!('notStarted' in sent)) return finish(connections, fresh, sent)
  fresh.smtp.close()
  return deferred('connect', sent.notStarted.message, '4.4.2', host.name)
}

function finish(
  connections: Connections,
  connection: Connection,
  sent: Exclude<Sent, { notStarted: SendError } | 'lost'>,
): DeliveryResults {
  if (sent.connectionUsable) connections.keep(connection)
  else if (!connection.smtp.destroyed) connection.smtp.quit()
  return sent.results
}

/** Even a 5yz greeting is about this host at this time, not about the message (RFC 5321 section 3.1). */
function notWelcome(error: SendError, host: MxHost): DeliveryResult {
  const result = resultOfError(error, host.name)
  return deferred('connect', result.reply, '4.4.1', host.name)
}

async function transact(
  { smtp, host }: Connection,
  { envelope, message, hold }: Delivery,
  transactionMs: number,
): Promise<Sent> {
  const text = textOf(message, hold)
  const size = message.reduce((sum, piece) => sum + piece.length, 0)
  return new Promise((resolve) => {
    const done = (error: SendError | null, info?: SMTPConnection.SentMessageInfo) => {
      clearTimeout(overdue)
      smtp.off('end', gone)
      hold.signal.removeEventListener('abort', lost)
      if (!text.complete() && hold.isLost()) {
        smtp.close()
        return resolve('lost')
      }
      const rejected = error?.rejectedErrors ?? info?.rejectedErrors ?? []
      if (error !== null && !text.started() && isConnectionLoss(error)) resolve({ notStarted: error })
      else
        resolve({
          results: resultsOf(envelope, host, { error, rejected, response: info?.response }),
          connectionUsable: error === null,
        })
    }
    // The library closes the connection and calls back with the cause in the same turn, or in rare cases never.
    const gone = () => void setImmediate(() => done(connectionEnded()))
    const lost = () => text.complete() || smtp.close()
    smtp.once('end', gone)
    const overdue = setTimeout(() => smtp.close(), transactionMs)
    hold.signal.addEventListener('abort', lost)
    // With PIPELINING, DATA is sent together with MAIL.
    if (hold.isLost()) return done(null)
    smtp.send(
      { from: envelope.reversePath, to: [...envelope.recipients], size, use8BitMime: envelope.eightBit },
      text.stream,
      done,
    )
  })
}

/**
 * The message as a stream that fails once the lease is lost. The library starts to read it after the host's 354, and
 * sends the final dot at its end.
 */
function textOf(message: readonly Buffer[], hold: LeaseGuard) {
  const chunks = chunksOf(message)
  let started = false
  let complete = false
  const stream = new Readable({
    read() {
      started = true
      if (hold.isLost()) {
        this.destroy(new LeaseLostError())
        return
      }
      const chunk = chunks.next()
      complete = chunk.done === true
      this.push(chunk.value ?? null)
    },
  })
  return { stream, started: () => started, complete: () => complete }
}

function* chunksOf(message: readonly Buffer[]): Generator<Buffer, undefined> {
  for (const piece of message) {
    for (let start = 0; start < piece.length; start += CHUNK_BYTES)
      yield piece.subarray(start, start + CHUNK_BYTES)
  }
}

function isConnectionLoss({ code, response }: SendError): boolean {
  return typeof response !== 'string' && (code === 'ECONNECTION' || code === 'ESOCKET')
}

function resultsOf(
  { recipients }: OutgoingEnvelope,
  { name }: MxHost,
  outcome: { error: SendError | null; rejected: readonly SendError[]; response: string | undefined },
): DeliveryResults {
  const { error, rejected, response } = outcome
  const whole = error === null ? delivered(response ?? '', name) : resultOfError(error, name)
  const single = new Map(rejected.map((rejection) => [rejection.recipient, resultOfError(rejection, name)]))
  return new Map(recipients.map((recipient) => [recipient, single.get(recipient) ?? whole]))
}
