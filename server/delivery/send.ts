// One message handed to the next host: the hops tried in turn, one SMTP transaction, an outcome for each recipient.
// Owns: when another hop, or a fresh connection, is worth a try. That is so only while nothing of the message has
// been sent; from the first byte on there is one attempt, since a second could deliver twice.
import { Readable } from 'node:stream'
import type SMTPConnection from 'nodemailer/lib/smtp-connection'
import { connectionEnded, type Connection, type Connections } from './connections.ts'
import { deferred, delivered, outcomeOfError, type Outcome, type SendError } from './outcome.ts'
import type { Hop } from './resolve.ts'
import type { Unanswering } from './unanswering.ts'

export type Envelope = {
  reversePath: string
  recipients: readonly string[]
  eightBit: boolean
}

/** Outcome by recipient. */
export type Outcomes = Map<string, Outcome>

type Sent = { outcomes: Outcomes; connectionUsable: boolean } | { notStarted: SendError }

export type Ways = {
  connections: Connections
  unanswering: Unanswering
  /** Longest time for one message, MAIL to the reply to its last dot. */
  transactionMs: number
}

/** Sends `message` (its pieces in order) to every recipient of `envelope` by the first of `hops` that will talk. */
export async function send(
  ways: Ways,
  hops: readonly Hop[],
  envelope: Envelope,
  message: readonly Buffer[],
): Promise<Outcomes> {
  let last: Outcome = deferred('connect', 'no host to try', '4.4.1')
  for (const hop of hops) {
    const result = await sendBy(ways, hop, envelope, message)
    if (result instanceof Map) return result
    last = result
  }
  return new Map(envelope.recipients.map((recipient) => [recipient, last]))
}

/** Outcomes, or why this hop would not even begin: unreachable, unwelcoming, or gone before the message began. */
async function sendBy(
  { connections, unanswering, transactionMs }: Ways,
  hop: Hop,
  envelope: Envelope,
  message: readonly Buffer[],
): Promise<Outcomes | Outcome> {
  const idle = connections.take(hop)
  if (idle !== null) {
    const sent = await transact(idle, envelope, message, transactionMs)
    // The host may have closed it at the same moment: that says nothing about the message.
    if (!('notStarted' in sent)) return finish(connections, idle, sent)
    idle.smtp.close()
  }
  if (!unanswering.mayTry(hop)) return deferred('connect', 'host did not answer lately', '4.4.1', hop.name)
  const startedMs = Date.now()
  let fresh: Connection
  try {
    fresh = await connections.open(hop)
    unanswering.answered(hop)
  } catch (error) {
    unanswering.failed(hop, startedMs)
    return notWelcome(error as SendError, hop)
  }
  const sent = await transact(fresh, envelope, message, transactionMs)
  if (!('notStarted' in sent)) return finish(connections, fresh, sent)
  fresh.smtp.close()
  return deferred('connect', sent.notStarted.message, '4.4.2', hop.name)
}

function finish(
  connections: Connections,
  connection: Connection,
  sent: Exclude<Sent, { notStarted: SendError }>,
): Outcomes {
  if (sent.connectionUsable) connections.keep(connection)
  else if (!connection.smtp.destroyed) connection.smtp.quit()
  return sent.outcomes
}

/** Even a 5yz greeting speaks for this host, at this time, not for the message (RFC 5321 section 3.1). */
function notWelcome(error: SendError, hop: Hop): Outcome {
  const outcome = outcomeOfError(error, hop.name)
  return deferred('connect', outcome.reply, '4.4.1', hop.name)
}

async function transact(
  { smtp, hop }: Connection,
  envelope: Envelope,
  message: readonly Buffer[],
  transactionMs: number,
): Promise<Sent> {
  let started = false
  // Read for the first time when the host has said 354.
  const body = new Readable({
    read() {
      started = true
      for (const piece of message) this.push(piece)
      this.push(null)
    },
  })
  const size = message.reduce((sum, piece) => sum + piece.length, 0)
  return new Promise((resolve) => {
    const done = (error: SendError | null, info?: SMTPConnection.SentMessageInfo) => {
      clearTimeout(overdue)
      smtp.off('end', gone)
      const rejected = error?.rejectedErrors ?? info?.rejectedErrors ?? []
      if (error !== null && !started && isConnectionLoss(error)) resolve({ notStarted: error })
      else
        resolve({
          outcomes: outcomesOf(envelope, hop, error, rejected, info?.response),
          connectionUsable: error === null,
        })
    }
    // The library closes first and tells why in the same turn, or, at an unlucky moment, never.
    const gone = () => void setImmediate(() => done(connectionEnded()))
    smtp.once('end', gone)
    const overdue = setTimeout(() => smtp.close(), transactionMs)
    smtp.send(
      { from: envelope.reversePath, to: [...envelope.recipients], size, use8BitMime: envelope.eightBit },
      body,
      done,
    )
  })
}

function isConnectionLoss({ code, response }: SendError): boolean {
  return typeof response !== 'string' && (code === 'ECONNECTION' || code === 'ESOCKET')
}

function outcomesOf(
  { recipients }: Envelope,
  { name }: Hop,
  error: SendError | null,
  rejected: readonly SendError[],
  response: string | undefined,
): Outcomes {
  const whole = error === null ? delivered(response ?? '', name) : outcomeOfError(error, name)
  const single = new Map(rejected.map((rejection) => [rejection.recipient, outcomeOfError(rejection, name)]))
  return new Map(recipients.map((recipient) => [recipient, single.get(recipient) ?? whole]))
}
