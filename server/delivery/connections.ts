// Outgoing SMTP connections, kept open for a moment so that one message does not cost one connection.
// Owns: opening (with STARTTLS when offered), keeping idle ones within bounds, and closing. An idle connection that
// the other side closes is forgotten; one that had any error is never used again.
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import type { Hop } from './resolve.ts'
import type { SendError } from './outcome.ts'

export type ConnectionOptions = {
  /** Our name in EHLO. */
  hostname: string
  connectMs: number
  greetingMs: number
  socketMs: number
  dnsMs: number
  /** How long an unused connection is kept. */
  idleMs: number
  /** Messages sent over one connection; many hosts allow no more than 100. */
  messagesPerConnection: number
  /** Idle connections kept altogether. */
  maxIdle: number
}

/** Largest reply of a remote host, all its lines: an EHLO reply is the longest, below 1 KB. */
const RESPONSE_BYTES = 16_384

export type Connection = {
  readonly smtp: SMTPConnection
  readonly hop: Hop
  /** Messages sent over it. */
  messages: number
}

export type Connections = ReturnType<typeof createConnections>

export function createConnections(options: ConnectionOptions) {
  /** Idle connections, the longest idle first. */
  const idle = new Map<Connection, NodeJS.Timeout>()
  let closed = false

  /** An idle connection to `hop`, or null. */
  function take(hop: Hop): Connection | null {
    // The last one put back: the others may then time out.
    const found = [...idle.keys()].findLast((connection) => isTo(connection, hop))
    if (found !== undefined) forget(found)
    return found ?? null
  }

  function forget(connection: Connection): void {
    clearTimeout(idle.get(connection))
    idle.delete(connection)
  }

  /**
   * Opens a connection that is ready for MAIL.
   * @throws {SendError} when the host cannot be reached, or its greeting or EHLO is no welcome.
   */
  async function open(hop: Hop): Promise<Connection> {
    try {
      return await opened(hop, false)
    } catch (error) {
      // RFC 7435: opportunistic security. A host whose TLS does not work gets the mail as one without TLS does.
      if ((error as SendError).code !== 'ETLS') throw error
      return await opened(hop, true)
    }
  }

  async function opened(hop: Hop, ignoreTLS: boolean): Promise<Connection> {
    const connection = { smtp: await connect(hop, options, ignoreTLS), hop, messages: 0 }
    connection.smtp.once('end', () => forget(connection))
    return connection
  }

  /** Puts a connection back after a message that went well. */
  function keep(connection: Connection): void {
    connection.messages++
    const { smtp, messages } = connection
    if (closed || options.idleMs === 0 || messages >= options.messagesPerConnection || smtp.destroyed) {
      smtp.quit()
      return
    }
    const timer = setTimeout(() => {
      forget(connection)
      smtp.quit()
    }, options.idleMs)
    timer.unref()
    idle.set(connection, timer)
    const oldest = idle.keys().next().value
    if (idle.size > options.maxIdle && oldest !== undefined) {
      forget(oldest)
      oldest.smtp.quit()
    }
  }

  /** Says QUIT on every idle connection; those in use are closed when they are put back. */
  function close(): void {
    closed = true
    for (const connection of [...idle.keys()]) {
      forget(connection)
      connection.smtp.quit()
    }
  }

  return { take, open, keep, close }
}

function isTo({ hop }: Connection, { address, port }: Hop): boolean {
  return hop.address === address && hop.port === port
}

function connect(hop: Hop, options: ConnectionOptions, ignoreTLS: boolean): Promise<SMTPConnection> {
  const smtp = new SMTPConnection({
    host: hop.address,
    port: hop.port,
    name: options.hostname,
    ...(hop.name === hop.address ? {} : { servername: hop.name }),
    ignoreTLS,
    opportunisticTLS: true,
    // Without DANE or MTA-STS there is nothing to hold a certificate against; encryption still stops listeners.
    tls: { rejectUnauthorized: false },
    connectionTimeout: options.connectMs,
    greetingTimeout: options.greetingMs,
    socketTimeout: options.socketMs,
    dnsTimeout: options.dnsMs,
    maxResponseSize: RESPONSE_BYTES,
    logger: false,
  })
  return new Promise((resolve, reject) => {
    // Stays for good: an error on a connection that is idle, or already given up, must not end the process.
    smtp.on('error', reject)
    smtp.connect((error) => {
      if (error) {
        smtp.close()
        reject(error)
      } else {
        resolve(smtp)
      }
    })
  })
}
