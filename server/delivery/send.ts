// One message handed to the next host: the hops tried in turn, one SMTP transaction, an outcome for each recipient.
// Owns: when another hop, or a fresh connection, is worth a try. That is so only while nothing of the message has
// been sent; from the first byte on there is one attempt, since a second could deliver twice.
import { Readable } from 'node:stream'
import type { Connection, Connections } from './connections.ts'
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

export type Ways = { connections: Connections; unanswering: Unanswering }

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
  { connections, unanswering }: Ways,
  hop: Hop,
  envelope: Envelope,
  message: readonly Buffer[],
): Promise<Outcomes | Outcome> {
  const idle = connections.take(hop)
  if (idle !== null) {
    const sent = await transact(idle, envelope, message)
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
  const sent = await transact(fresh, envelope, message)
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
    smtp.send(
      { from: envelope.reversePath, to: [...envelope.recipients], size, use8BitMime: envelope.eightBit },
      body,
      (error: SendError | null, info) => {
        const rejected = error?.rejectedErrors ?? info?.rejectedErrors ?? []
        if (error !== null && !started && isConnectionLoss(error)) resolve({ notStarted: error })
        else
          resolve({
            outcomes: outcomesOf(envelope, hop, error, rejected, info?.response),
            connectionUsable: error === null,
          })
      },
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
