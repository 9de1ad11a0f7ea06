// The SMTP listener: smtp-server bound to an address or an inherited socket, wired to the transactions.
// Owns: connection counts, refusal counts, and draining without a reset: the listener closes its own copy of the
// socket, transactions under way finish, everyone else is told 421. A handler that throws becomes 451, never a crash.
import type { Server, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { SMTPServer, type SMTPServerOptions, type SMTPServerSession } from 'smtp-server'
import type { Config, TlsFiles } from '../config.ts'
import { errorFields, type Log } from '../log.ts'
import type { Metrics } from '../fleet/metrics.ts'
import { admitConnection } from './admission.ts'
import { refusalError, refusals, type Refusal } from './refusal.ts'
import { sessionClass, useSessions, type Session } from './session.ts'
import type { Transactions } from './transaction.ts'

/** Longest command line: RFC 5321 section 4.5.3.1.4 asks for 512 octets; long VERP addresses need some more. */
const COMMAND_BYTES = 2_048

/** Connections the kernel may hold for us before they are accepted; Linux caps it at net.core.somaxconn, 4,096. */
const BACKLOG = 1_024

/** How often a drain looks for sessions that have become idle. */
const DRAIN_LOOK_MS = 50

export type Listener = {
  /** Where it listens: host and port, or the descriptor it was given. */
  address: { host: string; port: number } | { fd: number }
  isOpen: () => boolean
  /** Ends when every session has ended, at the latest after `timeoutMs`. */
  drain: (timeoutMs: number) => Promise<void>
}

type State = { draining: boolean; open: boolean; connections: number; fromClient: Map<string, number> }

type ListenerOptions = {
  config: Config
  tls: TlsFiles | null
  transactions: Transactions
  metrics: Metrics
  log: Log
}

/** Starts listening; resolves once connections are taken. @throws when the address is in use or not ours to bind. */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const { config, metrics, log } = options
  const state: State = { draining: false, open: false, connections: 0, fromClient: new Map() }
  const server = new SMTPServer(serverOptions(options, state))
  server.on('error', (error: Error) => log('session-error', errorFields(error)))
  const Class = sessionClass({ isDraining: () => state.draining, dataMs: config.limits.dataMs })
  useSessions(server, Class, (session, socket) => countConnection(session, socket, state))
  await listen(server, config.listen.smtp)
  state.open = true
  metrics.beforeScrape.push(() => {
    metrics.smtpConnections.set(state.connections)
    metrics.smtpTransactions.set(sessionsOf(server).filter((session) => session.inTransaction()).length)
  })
  return {
    address: boundAddress(server.server, config.listen.smtp),
    isOpen: () => state.open && !state.draining,
    drain: async (timeoutMs) => {
      state.draining = true
      await drainSessions(server, timeoutMs, log)
    },
  }
}

/** Sessions that are still talking; one that was told goodbye has left the library's set. */
function sessionsOf(server: SMTPServer): Session[] {
  return [...server.connections] as Session[]
}

function countConnection(session: Session, socket: Socket, state: State): void {
  const { fromClient } = state
  const client = session.remoteAddress
  fromClient.set(client, (fromClient.get(client) ?? 0) + 1)
  state.connections++
  socket.once('close', () => {
    const left = (fromClient.get(client) ?? 1) - 1
    if (left === 0) fromClient.delete(client)
    else fromClient.set(client, left)
    state.connections--
  })
}

function serverOptions(
  { config, tls, transactions, metrics, log }: ListenerOptions,
  state: State,
): SMTPServerOptions {
  const rejected = new WeakMap<SMTPServerSession, number>()

  const note = (refusal: Refusal, session: SMTPServerSession, about: object = {}) => {
    metrics.refused.inc({ reason: refusal.reason })
    log('refused', {
      reason: refusal.reason,
      code: refusal.code,
      text: refusal.text,
      client: session.remoteAddress,
      ...about,
    })
    return refusalError(refusal)
  }
  /** Runs a handler so that whatever it throws becomes a 451. */
  const decide = (
    session: SMTPServerSession,
    where: string,
    decision: () => Refusal | null,
    about: object,
  ) => {
    try {
      const refusal = decision()
      return refusal === null ? null : note(refusal, session, about)
    } catch (error) {
      metrics.errors.inc({ where })
      log('handler-failed', { where, ...errorFields(error) })
      return note(refusals.internal, session, about)
    }
  }
  const countRejected = (session: SMTPServerSession): Refusal | null => {
    const count = (rejected.get(session) ?? 0) + 1
    rejected.set(session, count)
    return count > config.limits.rejectedRecipients ? refusals.tooManyRejected : null
  }

  return {
    name: config.hostname,
    banner: 'mailfleet',
    logger: false,
    disabledCommands: ['AUTH', 'WIZ', 'SHELL', 'KILL', ...(tls === null ? ['STARTTLS'] : [])],
    ...(tls === null ? {} : { key: tls.key, cert: tls.cert, minVersion: 'TLSv1.2' as const }),
    disableReverseLookup: true,
    size: config.limits.messageBytes,
    rejectOversized: true,
    socketTimeout: config.limits.idleMs,
    maxCommandLength: COMMAND_BYTES,
    heloResponse: '%s greets you',
    onConnect(session, callback) {
      const counts = {
        draining: state.draining,
        connections: state.connections,
        fromClient: state.fromClient.get(session.remoteAddress) ?? 0,
      }
      callback(decide(session, 'connect', () => admitConnection(counts, config.limits), {}))
    },
    onMailFrom(address, session, callback) {
      callback(decide(session, 'mail', () => transactions.mail(address), { reversePath: address.address }))
    },
    onRcptTo(address, session, callback) {
      const decision = () => {
        const refusal = transactions.recipient(address, session.envelope)
        return refusal?.reason === 'unknown-alias' ? (countRejected(session) ?? refusal) : refusal
      }
      callback(decide(session, 'rcpt', decision, { recipient: address.address }))
    },
    onData(stream, session, callback) {
      transactions
        .data(stream, session)
        .then((result) =>
          'id' in result ? callback(null, `2.0.0 queued as ${result.id}`) : callback(note(result, session)),
        )
        .catch((error: unknown) => {
          // A client that left in the middle of its message hears nothing; anything else is a bug of ours.
          const left = (error as NodeJS.ErrnoException).code === 'ECONNECTION'
          if (!left) metrics.errors.inc({ where: 'data' })
          log(left ? 'client-left' : 'handler-failed', { where: 'data', ...errorFields(error) })
          callback(refusalError(refusals.internal))
        })
    },
  }
}

async function listen(server: SMTPServer, where: Config['listen']['smtp']): Promise<void> {
  const target = where.fd === undefined ? { host: where.host, port: where.port ?? 0 } : { fd: where.fd }
  await new Promise<void>((resolve, reject) => {
    server.server.once('error', reject)
    server.listen({ ...target, backlog: BACKLOG }, () => {
      server.server.off('error', reject)
      resolve()
    })
  })
}

function boundAddress(server: Server, where: Config['listen']['smtp']): Listener['address'] {
  const address = server.address()
  if (address !== null && typeof address === 'object') return { host: address.address, port: address.port }
  return { fd: where.fd ?? -1 }
}

/**
 * Ends all sessions politely. The library's own close() would answer 421 to RCPT and DATA of transactions under way.
 * Closing the server closes this process's copy of the socket; whoever else holds it goes on taking connections.
 */
async function drainSessions(server: SMTPServer, timeoutMs: number, log: Log): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs
  let ended = false
  server.server.close(() => {
    ended = true
  })
  while (!ended && Date.now() < deadlineMs) {
    for (const session of sessionsOf(server)) if (session.isIdle()) session.dismiss()
    await sleep(DRAIN_LOOK_MS)
  }
  if (ended) return
  log('drain-cut', { sessions: server.connections.size })
  for (const session of sessionsOf(server)) session.dismiss()
}
