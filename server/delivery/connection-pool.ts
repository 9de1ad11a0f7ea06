// Outgoing SMTP connections, kept open for a moment so that one message does not cost one connection.
// Owns: opening (with STARTTLS when offered), keeping idle ones within bounds, and closing. An idle connection that
// the other side closes is forgotten; one that had any error is never used again.
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import type { MxHost } from './mx-hosts.ts'
import type { SendError } from './delivery-result.ts'

export type ConnectionOptions = {
  /** Our name in EHLO. */
  hostname: string
  connectMs: number
  greetingMs: number
  socketMs: number
  /** How long an unused connection is kept. */
  idleMs: number
  /** Messages sent over one connection; many hosts allow no more than 100. */
  messagesPerConnection: number
  /** Idle connections kept altogether. */
  maxIdle: number
}

/** Largest reply of a remote host, all its lines: an EHLO reply is the longest, below 1 KB. */
const RESPONSE_BYTES = 16_384

/** Greeting, EHLO, STARTTLS, the handshake, EHLO again: each may take as long as the greeting. */
const SETUP_STEPS = 5

export type Connection = {
  readonly smtp: SMTPConnection
  readonly host: MxHost
  /** Messages sent over it. */
  messages: number
}

export type Connections = ReturnType<typeof createConnections>

export function createConnections(options: ConnectionOptions) {
  const idle = createIdle(options.idleMs, options.maxIdle)
  let closed = false

  async function opened(host: MxHost, ignoreTLS: boolean, signal?: AbortSignal): Promise<Connection> {
    const connection = { smtp: await connect(host, { ...options, ignoreTLS }, signal), host, messages: 0 }
    connection.smtp.once('end', () => idle.forget(connection))
    return connection
  }

  return {
    /** An idle connection to `hop`, or null. */
    take: (host: MxHost): Connection | null => idle.take(host),

    /**
     * Opens a connection that is ready for MAIL.
     * @throws {SendError} when the host cannot be reached, its greeting or EHLO is no welcome, or `signal` is aborted.
     */
    open: async (host: MxHost, signal?: AbortSignal): Promise<Connection> => {
      try {
        return await opened(host, false, signal)
      } catch (error) {
        // RFC 7435: opportunistic security. A host whose TLS does not work gets the mail as one without TLS does.
        if ((error as SendError).code !== 'ETLS') throw error
        return await opened(host, true, signal)
      }
    },

    /** Puts a connection back after a message that went well. */
    keep: (connection: Connection): void => {
      connection.messages++
      const spent = connection.messages >= options.messagesPerConnection
      if (closed || spent || connection.smtp.destroyed) connection.smtp.quit()
      else idle.put(connection)
    },

    /** Says QUIT on every idle connection; those in use follow when they are put back. */
    close: (): void => {
      closed = true
      idle.clear()
    },
  }
}

/** Connections nobody uses, the longest idle first; each leaves after `idleMs`, or when there are more than `most`. */
function createIdle(idleMs: number, most: number) {
  const timers = new Map<Connection, NodeJS.Timeout>()

  function forget(connection: Connection): void {
    clearTimeout(timers.get(connection))
    timers.delete(connection)
  }

  function retire(connection: Connection): void {
    forget(connection)
    connection.smtp.quit()
  }

  return {
    forget,
    put: (connection: Connection): void => {
      const timer = setTimeout(() => retire(connection), idleMs)
      timer.unref()
      timers.set(connection, timer)
      const [oldest] = timers.keys()
      if (timers.size > most && oldest !== undefined) retire(oldest)
    },
    take: ({ address, port }: MxHost): Connection | null => {
      // The last one put back, so that in calmer times the others reach their end.
      const found = [...timers.keys()].findLast(({ host }) => host.address === address && host.port === port)
      if (found !== undefined) forget(found)
      return found ?? null
    },
    clear: (): void => {
      for (const connection of [...timers.keys()]) retire(connection)
    },
  }
}

/** What became of a command when nothing was heard but the end of its connection. */
export function connectionEnded(): Error & SendError {
  return Object.assign(new Error('connection results'), { code: 'ECONNECTION' })
}

function connect(
  host: MxHost,
  options: ConnectionOptions & { ignoreTLS: boolean },
  signal?: AbortSignal,
): Promise<SMTPConnection> {
  const smtp = new SMTPConnection({
    host: host.address,
    port: host.port,
    name: options.hostname,
    ...(host.name === host.address ? {} : { servername: host.name }),
    ignoreTLS: options.ignoreTLS,
    opportunisticTLS: true,
    // Without DANE or MTA-STS there is nothing to hold a certificate against; encryption still stops listeners.
    tls: { rejectUnauthorized: false },
    connectionTimeout: options.connectMs,
    greetingTimeout: options.greetingMs,
    socketTimeout: options.socketMs,
    maxResponseSize: RESPONSE_BYTES,
    logger: false,
  })
  // Every step in time, and yet for ever: a reply may come byte by byte.
  const overdue = setTimeout(() => smtp.close(), options.connectMs + SETUP_STEPS * options.greetingMs)
  const abort = () => smtp.close()
  signal?.addEventListener('abort', abort)
  return new Promise<SMTPConnection>((resolve, reject) => {
    // Without any other event when the host closes at an unlucky moment.
    smtp.once('end', () => reject(connectionEnded()))
    // Stays for good: an error on a connection that is idle, or already given up, must not end the process.
    smtp.on('error', (error: Error & SendError) => {
      // The library says ETLS of some failures of the handshake, of others only that the socket failed.
      reject(smtp.upgrading === true ? Object.assign(error, { code: 'ETLS' }) : error)
    })
    smtp.connect((error) => {
      if (error) {
        reject(error)
        smtp.close()
      } else {
        resolve(smtp)
      }
    })
  }).finally(() => {
    clearTimeout(overdue)
    signal?.removeEventListener('abort', abort)
  })
}
