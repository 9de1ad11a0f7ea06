// The SMTP listener: smtp-server bound to an address or an inherited socket.
// Owns: connection counts, and draining without a reset: transactions under way finish, everyone else is told 421.
// Where others hold the same socket, this process closes its own copy of it first. A server that bound its port itself
// first answers every client that waits in the accept queue. An instance of a group, which is alone with its port, goes
// on answering until it is closed. Under a full table of connections, slow clients are ended early.
// Fails at start only, when the socket cannot be had.
import type { Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { SMTPServer } from 'smtp-server'
import type { Config } from '../config/schema.ts'
import { errorFields, limitLog, type Log } from '../log.ts'
import { clientKey } from './admission.ts'
import { smtpServerOptions, type SmtpHandlerOptions } from './handlers.ts'
import { createRefusedDemand } from './refused-demand.ts'
import { createSessionClass, useSessions, type SmtpSession } from './session.ts'

/** Connections the kernel may hold for us before they are accepted; Linux caps it at net.core.somaxconn, 4,096. */
const BACKLOG = 1_024

/** Log lines of failed sessions a second: anyone can fail a TLS handshake, as often as they like. */
const ERRORS_LOGGED = 10

/** How often a drain looks for sessions that have become idle. */
const DRAIN_LOOK_MS = 50

/** The longest wait between two looks at a full table of connections. */
const FULL_LOOK_MS = 1_000

/** The table is no longer full once so many of its connections are left: not at each one that ends. */
const FULL_UNTIL_SHARE = 0.9

/** The accept queue is empty once so long has passed without a client. */
const ACCEPT_QUIET_MS = 50

/** How long clients may keep the accept queue of a draining server busy. */
const ACCEPT_QUIET_BOUND_MS = 2_000

export type Listener = {
  /** Where it listens: host and port, or the descriptor it was given. */
  address: { host: string; port: number } | { fd: number }
  isOpen: () => boolean
  /** Takes no more mail. Resolves when what is under way has ended, at the latest after `timeoutMs`. */
  drain: (timeoutMs: number) => Promise<void>
  /** Answers nobody any more. After a drain. */
  close: () => void
}

type State = { draining: boolean; connections: number; accepted: number; fromClient: Map<string, number> }

/** Starts listening; resolves once connections are taken. @throws when the address is in use or not ours to bind. */
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
  watchTable(server, state, config.limits, log)
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

/** Sessions that are still talking; one that was told goodbye has left the library's set. */
function sessionsOf(server: SMTPServer): SmtpSession[] {
  return [...server.connections] as SmtpSession[]
}

/** Sessions that are sending a message. */
function transactionsOf(server: SMTPServer): number {
  return sessionsOf(server).filter((session) => session.inTransaction()).length
}

/**
 * Shorter time-outs while the table of connections is full, as Postfix's stress mode has them: clients that bring no
 * message make room for those that do (http://www.postfix.org/STRESS_README.html).
 */
function watchTable(server: SMTPServer, state: State, limits: Config['limits'], log: Log): void {
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
    Math.min(FULL_LOOK_MS, Math.ceil(idleMs / 4)),
  )
  timer.unref()
}

/** Clients that the kernel has connected are accepted and told 421. Closing the socket now would reset them. */
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
 * Ends all sessions politely. The library's own close() would answer 421 to RCPT and DATA of transactions under way.
 * Closing the server closes this process's copy of the socket; whoever else holds it goes on taking connections. Held by
 * nobody else (`stayOpen`), the socket would have the kernel take connections that never hear a word: they hear 421.
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
    await sleep(DRAIN_LOOK_MS)
    dismissIdle(server)
  }
  if (ended()) return
  log('sessions-cut', { sessions: server.connections.size })
  for (const session of sessionsOf(server)) session.dismiss()
}
