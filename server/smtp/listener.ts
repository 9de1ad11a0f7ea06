// The SMTP listener: smtp-server on an address or an inherited socket. Owns: connection counts, and a drain that resets
// no connection: transactions in progress finish, all other clients get a 421. While the connection table is full, it
// ends slow sessions early. Fails at start only, when it cannot bind the socket.
import type { Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { SMTPServer } from 'smtp-server'
import type { Config } from '../config/schema.ts'
import { errorFields, limitLog, type Log } from '../log.ts'
import { clientKey } from './admission.ts'
import { smtpServerOptions, type SmtpHandlerOptions } from './handlers.ts'
import { createRefusedDemand } from './refused-demand.ts'
import { createSessionClass, useSessions, type SmtpSession } from './session.ts'

/** Length of the kernel's accept queue. Linux caps it at net.core.somaxconn, 4,096. */
const BACKLOG = 1_024

/** Most log lines of failed sessions a second. Any client can fail as many TLS handshakes as it likes. */
const ERRORS_LOGGED = 10

/** A drain checks this often for idle sessions. */
const DRAIN_POLL_MS = 50

/** Longest time between two checks of the connection table. */
const FULL_POLL_MS = 1_000

/** A full table counts as free again below this share of its connections, not at the first one that ends. */
const FULL_UNTIL_SHARE = 0.9

/** The accept queue counts as empty after this time without a new connection. */
const ACCEPT_QUIET_MS = 50

/** Longest wait of a drain for an empty accept queue. */
const ACCEPT_QUIET_BOUND_MS = 2_000

export type Listener = {
  /** The bound host and port, or the inherited descriptor. */
  address: { host: string; port: number } | { fd: number }
  isOpen: () => boolean
  /** Refuses new mail. Resolves when the transactions in progress have ended, at the latest after `timeoutMs`. */
  drain: (timeoutMs: number) => Promise<void>
  /** Stops listening and ends the remaining sessions. Call it after a drain. */
  close: () => void
}

type State = { draining: boolean; connections: number; accepted: number; fromClient: Map<string, number> }

/** Starts listening. @throws when it may not bind the address, or the address is in use. */
export async function startListener(options: SmtpHandlerOptions): Promise<Listener> {
  const { config, metrics, log } = options
  const state: State = { draining: false, connections: 0, accepted: 0, fromClient: new Map() }
  const demand = createRefusedDemand({
    windowMs: config.limits.refusedWindowMs,
    transactions: () => transactionsOf(server),
    nowMs: () => performance.now(),
  })
  const server = new SMTPServer(smtpServerOptions({ ...options, demand }, state))
  const logError = limitLog(log, ERRORS_LOGGED)
  server.on('error', (error: Error) => logError('session-error', errorFields(error)))
  const { dataMs, commandsMs } = config.limits
  const Class = createSessionClass({ isDraining: () => state.draining, dataMs, commandsMs })
  useSessions(server, Class, (session) => countConnection(session, state))
  await listen(server, config.listen.smtp)
  metrics.beforeScrape.push(() => {
    metrics.smtpConnections.set(state.connections)
    metrics.smtpTransactions.set(transactionsOf(server))
  })
  watchConnectionTable(server, state, config.limits, log)
  return {
    address: boundAddress(server.server, config.listen.smtp),
    isOpen: () => server.server.listening && !state.draining,
    drain: async (timeoutMs) => {
      state.draining = true
      dismissIdle(server)
      const ownPort = config.listen.smtp.fd === undefined && config.fleet === undefined
      if (ownPort) await emptyAcceptQueue(state, timeoutMs)
      await drainSessions(server, timeoutMs, { log, stayOpen: config.fleet !== undefined })
    },
    close: () => {
      if (server.server.listening) server.server.close()
      for (const session of sessionsOf(server)) session.dismiss()
    },
  }
}

function dismissIdle(server: SMTPServer): void {
  for (const session of sessionsOf(server)) if (session.isIdle()) session.dismiss()
}

/** The open sessions. smtp-server removes a session from its set when it closes. */
function sessionsOf(server: SMTPServer): SmtpSession[] {
  return [...server.connections] as SmtpSession[]
}

/** Number of sessions that are sending a message. */
function transactionsOf(server: SMTPServer): number {
  return sessionsOf(server).filter((session) => session.inTransaction()).length
}

/**
 * Shortens timeouts while the connection table is full, as Postfix's stress mode does. Idle clients then make room for
 * clients with mail (http://www.postfix.org/STRESS_README.html).
 */
function watchConnectionTable(server: SMTPServer, state: State, limits: Config['limits'], log: Log): void {
  const { connections, fullIdleMs: idleMs, fullCommandsMs: commandsMs } = limits
  let full = false
  const timer = setInterval(
    () => {
      const wasFull = full
      full = state.connections >= connections * (wasFull ? FULL_UNTIL_SHARE : 1)
      if (full !== wasFull)
        log(full ? 'connections-full' : 'connections-free', { connections: state.connections })
      if (full) for (const session of sessionsOf(server)) session.endIfSlow({ idleMs, commandsMs })
    },
    Math.min(FULL_POLL_MS, Math.ceil(idleMs / 4)),
  )
  timer.unref()
}

/** Answers 421 to the clients in the accept queue. Closing the socket before would reset their connections. */
async function emptyAcceptQueue(state: State, timeoutMs: number): Promise<void> {
  const deadlineMs = Date.now() + Math.min(ACCEPT_QUIET_BOUND_MS, timeoutMs)
  let accepted = -1
  while (accepted !== state.accepted && Date.now() < deadlineMs) {
    accepted = state.accepted
    await sleep(ACCEPT_QUIET_MS)
  }
}

function countConnection(session: SmtpSession, state: State): void {
  const { fromClient } = state
  const client = clientKey(session.remoteAddress)
  fromClient.set(client, (fromClient.get(client) ?? 0) + 1)
  state.connections++
  state.accepted++
  session.once('close', () => {
    const left = (fromClient.get(client) ?? 1) - 1
    if (left === 0) fromClient.delete(client)
    else fromClient.set(client, left)
    state.connections--
  })
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
 * Ends all sessions, each after its transaction. smtp-server's close() would answer 421 to RCPT and DATA of running
 * transactions. Closing this process's copy of the socket leaves the copies of other processes listening.
 * With `stayOpen` the socket stays open, and new clients get a 421. It is set for an instance of a group: the load
 * balancer still sends connections, and no other process accepts them.
 */
async function drainSessions(
  server: SMTPServer,
  timeoutMs: number,
  { log, stayOpen }: { log: Log; stayOpen: boolean },
): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs
  let closed = false
  if (!stayOpen) server.server.close(() => (closed = true))
  const ended = () => closed || (stayOpen && sessionsOf(server).every((session) => session.isIdle()))
  dismissIdle(server)
  while (!ended() && Date.now() < deadlineMs) {
    await sleep(DRAIN_POLL_MS)
    dismissIdle(server)
  }
  if (ended()) return
  log('sessions-cut', { sessions: server.connections.size })
  for (const session of sessionsOf(server)) session.dismiss()
}
