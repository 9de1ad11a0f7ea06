// A pool of outgoing SMTP connections, so that a message does not cost a connection. Owns: opening (with STARTTLS when
// offered), the limits on idle connections, and closing. The pool drops an idle connection that the host closes, and
// reuses no connection that had an error.
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import type { MxHost } from './mx-hosts.ts'
import type { SendError } from './delivery-result.ts'

export type ConnectionOptions = {
  /** Our name in EHLO. */
  hostname: string
  connectMs: number
  greetingMs: number
  socketMs: number
  /** How long an idle connection is kept. */
  idleMs: number
  /** Most messages over one connection; many hosts allow no more than 100. */
  messagesPerConnection: number
  /** Most idle connections in all. */
  maxIdle: number
}

/** Largest reply of a remote host with all its lines. The longest is an EHLO reply, below 1 KB. */
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
    /** An idle connection to `host`, or null. */
    take: (host: MxHost): Connection | null => idle.take(host),

    /**
     * Opens a connection that is ready for MAIL.
     * @throws {SendError} when the host is unreachable, its greeting or EHLO refuses us, or `signal` is aborted
     */
    open: async (host: MxHost, signal?: AbortSignal): Promise<Connection> => {
      try {
        return await opened(host, false, signal)
      } catch (error) {
        // RFC 7435: opportunistic security. A host with broken TLS gets the mail like a host without TLS.
        if ((error as SendError).code !== 'ETLS') throw error
        return await opened(host, true, signal)
      }
    },

    /** Returns a connection to the pool after a successful message. */
    keep: (connection: Connection): void => {
      connection.messages++
      const spent = connection.messages >= options.messagesPerConnection
      if (closed || spent || connection.smtp.destroyed) connection.smtp.quit()
      else idle.put(connection)
    },

    /** Sends QUIT on every idle connection. Connections in use follow when they are returned. */
    close: (): void => {
      closed = true
      idle.clear()
    },
  }
}

/** Idle connections, the longest idle first. Each is closed after `idleMs`, or when there are more than `most`. */
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
      // The last returned connection first, so that with less mail the others reach their idle timeout.
      const found = [...timers.keys()].findLast(({ host }) => host.address === address && host.port === port)
      if (found !== undefined) forget(found)
      return found ?? null
    },
    clear: (): void => {
      for (const connection of [...timers.keys()]) retire(connection)
    },
  }
}

/** The error of a command when its connection ended without a reply. */
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
    // Without DANE or MTA-STS there is nothing to verify a certificate against. Encryption still stops eavesdroppers.
    tls: { rejectUnauthorized: false },
    connectionTimeout: options.connectMs,
    greetingTimeout: options.greetingMs,
    socketTimeout: options.socketMs,
    maxResponseSize: RESPONSE_BYTES,
    logger: false,
  })
  // Limits the whole set-up: a host that replies byte by byte stays within the time of each step.
  const overdue = setTimeout(() => smtp.close(), options.connectMs + SETUP_STEPS * options.greetingMs)
  const abort = () => smtp.close()
  signal?.addEventListener('abort', abort)
  return new Promise<SMTPConnection>((resolve, reject) => {
    // If the host closes at an unlucky moment, this is the only event.
    smtp.once('end', () => reject(connectionEnded()))
    // Never removed: an error on an idle or abandoned connection must not end the process.
    smtp.on('error', (error: Error & SendError) => {
      // The library reports some handshake failures as ETLS, and others only as a failed socket.
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
