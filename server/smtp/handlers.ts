// The options of smtp-server: the handlers, the offered extensions, and the counting of refusals.
// An error that a handler throws becomes a 451 and a metric, never a crash and never a 5xx.
import type { SMTPServerAddress, SMTPServerOptions, SMTPServerSession } from 'smtp-server'
import type { Config } from '../config/schema.ts'
import type { TlsFiles } from '../config/load.ts'
import { isFault, type Metrics } from '../metrics.ts'
import { errorFields, limitLog, type Log } from '../log.ts'
import { admitConnection, clientKey } from './admission.ts'
import type { RefusedMessage, RefusedDemand } from './refused-demand.ts'
import { refusalError, refusals, type SmtpRefusal } from './refusal.ts'
import type { Transactions } from './transaction.ts'

/** Longest command line. RFC 5321 section 4.5.3.1.4 asks for 512 octets; long VERP addresses need more. */
const COMMAND_BYTES = 2_048

/** Most log lines of refusals a second. A retry storm causes thousands; the metric counts all of them. */
const REFUSALS_LOGGED = 50

/** The listener's connection counts. */
export type ConnectionCounts = {
  draining: boolean
  connections: number
  fromClient: ReadonlyMap<string, number>
}

export type SmtpHandlerOptions = {
  config: Config
  tls: TlsFiles | null
  transactions: Transactions
  metrics: Metrics
  log: Log
}

/** The message or recipient that was refused, for the log and for counting demand. */
type About = { reversePath?: string; sizeBytes?: number; recipient?: string }

type WithDemand = SmtpHandlerOptions & { demand: RefusedDemand }

/** The options of an SMTPServer whose replies come from `transactions`. */
export function smtpServerOptions(options: WithDemand, connected: ConnectionCounts): SMTPServerOptions {
  const { config, tls, transactions } = options
  const { decide, receive } = guard(options)
  const rejected = new WeakMap<SMTPServerSession, number>()

  const countRejected = (session: SMTPServerSession): SmtpRefusal | null => {
    const count = (rejected.get(session) ?? 0) + 1
    rejected.set(session, count)
    return count > config.limits.rejectedRecipients ? refusals.tooManyRejected : null
  }

  return {
    ...fixedOptions(config, tls),
    onConnect(session, callback) {
      const { draining, connections, fromClient } = connected
      const counts = {
        draining,
        connections,
        fromClient: fromClient.get(clientKey(session.remoteAddress)) ?? 0,
      }
      callback(decide(session, 'connect', () => admitConnection(counts, config.limits), {}))
    },
    onMailFrom(address, session, callback) {
      const about = messageOf(address)
      callback(decide(session, 'mail', () => transactions.mail(address, session), about))
    },
    onRcptTo(address, session, callback) {
      const decision = () => {
        const refusal = transactions.recipient(address, session)
        return refusal?.reason === 'unknown-alias' ? (countRejected(session) ?? refusal) : refusal
      }
      callback(decide(session, 'rcpt', decision, { recipient: address.address }))
    },
    onData(stream, session, callback) {
      void receive(session, () => transactions.data(stream, session)).then((result) =>
        result instanceof Error ? callback(result) : callback(null, `2.0.0 queued as ${result}`),
      )
    },
  }
}

/** An option of net.Server that smtp-server's types lack. */
const HALF_OPEN = { allowHalfOpen: true }

/** The options without handlers. SMTPUTF8 is not offered: see docs/decisions/022-no-smtputf8.md. */
function fixedOptions(config: Config, tls: TlsFiles | null): SMTPServerOptions {
  return {
    name: config.hostname,
    banner: 'mailfleet',
    logger: false,
    disabledCommands: ['AUTH', 'WIZ', 'SHELL', 'KILL', ...(tls === null ? ['STARTTLS'] : [])],
    ...(tls === null ? {} : { key: tls.key, cert: tls.cert, minVersion: 'TLSv1.2' as const }),
    disableReverseLookup: true,
    hideSMTPUTF8: true,
    hideENHANCEDSTATUSCODES: false,
    // A client that has closed its side still gets its replies: see session.ts.
    ...HALF_OPEN,
    size: config.limits.messageBytes,
    rejectOversized: true,
    socketTimeout: config.limits.idleMs,
    maxCommandLength: COMMAND_BYTES,
    heloResponse: '%s greets you',
  }
}

/** Wraps decisions: counts and logs each refusal, and turns an unexpected error into a refusal. */
function guard({ metrics, demand, log: unlimited }: WithDemand) {
  const log = limitLog(unlimited, REFUSALS_LOGGED)

  function note(refusal: SmtpRefusal, session: SMTPServerSession, about: About): Error {
    const { reason, code, text } = refusal
    metrics.refused.inc({ reason })
    if (isFault(reason)) metrics.refusedFaults.inc()
    if (demand.counts(reason, refusedOf(session, about))) metrics.refusedDemand.inc()
    log('refused', { reason, code, text, client: session.remoteAddress, ...about })
    return refusalError(refusal)
  }

  function unexpected(where: string, error: unknown): SmtpRefusal {
    metrics.errors.inc({ where })
    log('handler-failed', { where, ...errorFields(error) })
    return refusals.internal
  }

  function decide(
    session: SMTPServerSession,
    where: string,
    decision: () => SmtpRefusal | null,
    about: About,
  ) {
    let refusal: SmtpRefusal | null
    try {
      refusal = decision()
    } catch (error) {
      refusal = unexpected(where, error)
    }
    return refusal === null ? null : note(refusal, session, about)
  }

  /** Resolves with the message's queue id, or with the error for the reply. Never rejects. */
  async function receive(session: SMTPServerSession, take: () => Promise<{ id: string } | SmtpRefusal>) {
    try {
      const result = await take()
      return 'id' in result ? result.id : note(result, session, messageOf(session.envelope.mailFrom))
    } catch (error) {
      // The client disconnected during its message: log it, but count no refusal.
      if ((error as NodeJS.ErrnoException).code === 'ECONNECTION') {
        log('client-left', { client: session.remoteAddress })
        return refusalError(refusals.internal)
      }
      return note(unexpected('data', error), session, messageOf(session.envelope.mailFrom))
    }
  }

  return { decide, receive }
}

/** The sender and size that MAIL announces. */
function messageOf(mailFrom: SMTPServerAddress | false): About {
  if (mailFrom === false) return { reversePath: '' }
  const { address, args } = mailFrom
  return { reversePath: address, sizeBytes: Number((args === false ? {} : args)['SIZE'] ?? 0) }
}

function refusedOf(
  { remoteAddress }: SMTPServerSession,
  { reversePath = '', sizeBytes = 0 }: About,
): RefusedMessage {
  return { clientAddress: remoteAddress, reversePath, sizeBytes }
}
