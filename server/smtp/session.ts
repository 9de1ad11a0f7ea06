// One SMTP session: extends smtp-server's connection. It overrides members that are typed but undocumented: recheck it
// at every update of smtp-server. Owns: the timeouts of a message and of a session, and the drain of one session.
// It also replies to a half-closed client, and greets without the library's wait of 100 ms.
import type { SMTPServer } from 'smtp-server'
import { SMTPConnection } from 'smtp-server/lib/smtp-connection'
import type { SMTPStream } from 'smtp-server/lib/smtp-stream'
import { parsePathCommand } from './path-command.ts'
import { refusals } from './refusal.ts'

/** Commands that a draining server still answers within a transaction. */
const TRANSACTION_COMMANDS = new Set(['RCPT', 'DATA', 'RSET', 'NOOP', 'QUIT'])

/** The enhanced code at the start of our own reply texts. */
const ENHANCED = /^[245]\.\d{1,3}\.\d{1,3} /

/** Control characters: external text in a reply must not start a new line. */
// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x1f\x7f-\x9f]/g

/** smtp-server sends the greeting and the replies to HELO and EHLO without an enhanced code. */
function isGreeting(context: string | false | undefined): boolean {
  return context === false || context === 'HELO' || context === 'EHLO'
}

/** The session's interface for the listener. */
export type SmtpSession = SMTPConnection & {
  /** Whether no transaction and no command is in progress. */
  isIdle: () => boolean
  /** Whether the session is between an accepted MAIL and the last reply of its transaction. */
  inTransaction: () => boolean
  /** Ends the session if its client has sent nothing, or no message, for longer than this. */
  endIfSlow: (limits: { idleMs: number; commandsMs: number }) => void
  /** Answers 421 and closes. Input is still read and ignored, so that the connection is not reset. */
  dismiss: () => void
}

type SessionOptions = {
  isDraining: () => boolean
  /** Longest time from DATA to the final dot. */
  dataMs: number
  /** Longest time from the greeting, or the end of a message, to the next DATA. */
  commandsMs: number
}

/** smtp-server's connection with our own replies and our own parser of MAIL and RCPT. */
class ExactConnection extends SMTPConnection {
  /** Closes the connection once everything that a half-closed client sent has been answered. */
  override _createParser(): SMTPStream {
    const parser = super._createParser()
    parser.once('finish', () => this.close())
    return parser
  }

  override _parseAddressCommand(name: string, command: Buffer | string) {
    return parsePathCommand(name, command.toString()) ?? false
  }

  /**
   * Replaces the library's method, which sends nothing to a half-closed client. Each reply gets an enhanced code
   * (RFC 2034), the text's own or the library's. The greeting, 354 and the replies to HELO and EHLO have none.
   */
  override send(code: number, data: string | string[], context?: string | false): void {
    const usual = this._getEnhancedStatusCode(code, code >= 400 && isGreeting(context) ? undefined : context)
    const lines = Array.isArray(data) ? data : [data]
    const reply = lines.map((line, index) => {
      const enhanced = usual === '' || ENHANCED.test(line) ? '' : `${usual} `
      return `${code}${index < lines.length - 1 ? '-' : ' '}${enhanced}${line.replace(CONTROL, ' ')}\r\n`
    })
    // During a TLS handshake a reply would be clear text inside the handshake.
    if (!this._upgrading && this._socket.writable) this._socket.write(reply.join(''))
    if (code === 421) this.close()
  }
}

/** Adds the connection's state for the listener, and the time since its client last sent something. */
class WatchedConnection extends ExactConnection {
  /** Bytes read at the last check, and the time (monotonic) of the client's last input. */
  #bytesRead = 0
  #heardMs = performance.now()
  /** Start of the wait for the next message (monotonic). */
  awaitedMs = performance.now()
  /** Aborts the message that is being received. */
  endMessage: (() => void) | undefined

  endIfSlow({ idleMs, commandsMs }: { idleMs: number; commandsMs: number }): void {
    const nowMs = performance.now()
    const { bytesRead } = this._socket
    if (bytesRead !== this.#bytesRead || this.#waitsForUs()) this.#heardMs = nowMs
    this.#bytesRead = bytesRead
    if (this._closing || this._closed) return
    const silent = nowMs - this.#heardMs >= idleMs
    if (silent && this.endMessage !== undefined) this.endMessage()
    else if (silent || (this.endMessage === undefined && nowMs - this.awaitedMs >= commandsMs))
      this.send(refusals.tableFull.code, refusals.tableFull.text)
  }

  /** Whether the client waits for our reply; that time does not count as silence. */
  #waitsForUs(): boolean {
    return this._handlerPending || (Boolean(this._dataStream) && !(this._parser && this._parser._dataMode))
  }

  isIdle(): boolean {
    return this._ready && !this.inTransaction() && !this._handlerPending && !this._upgrading
  }

  dismiss(): void {
    this.send(refusals.draining.code, refusals.draining.text)
  }

  inTransaction(): boolean {
    return Boolean(this._dataStream) || Boolean(this.session.envelope?.mailFrom)
  }
}

/** Creates the session class for these options. */
export function createSessionClass({ isDraining, dataMs, commandsMs }: SessionOptions) {
  return class extends WatchedConnection implements SmtpSession {
    /** The timeout of the message in progress, or of the wait for the next message. */
    #timer: NodeJS.Timeout | undefined

    /** Greets at once. The library waits 100 ms on every connection to detect early talkers. */
    override init(): void {
      this.#awaitMessage()
      this._setListeners(() => this.connectionReady())
    }

    /** Starts our own timeout: the library's restarts with every byte, so a slow client could stay connected for ever. */
    #awaitMessage(): void {
      clearTimeout(this.#timer)
      this.endMessage = undefined
      this.awaitedMs = performance.now()
      this.#timer = setTimeout(() => this.send(refusals.noMessage.code, refusals.noMessage.text), commandsMs)
      this.#timer.unref()
    }

    /** Runs once, however the session ends. STARTTLS removes all listeners from the socket, so 'close' there is lost. */
    override _onClose(): void {
      clearTimeout(this.#timer)
      super._onClose()
      this.emit('close')
    }

    override _onCommand(command: Buffer, callback?: () => void): void {
      const name = (command.toString('latin1').split(' ')[0] ?? '').toUpperCase()
      const finishing = this.inTransaction() ? TRANSACTION_COMMANDS.has(name) : name === 'QUIT'
      if (isDraining() && !this._upgrading && !finishing) this.dismiss()
      else super._onCommand(command, callback)
    }

    override handler_DATA(command: Buffer, callback: () => void): void {
      super.handler_DATA(command, callback)
      const receiving = this._dataStream
      if (!receiving) return
      clearTimeout(this.#timer)
      this.endMessage = () => {
        this.send(refusals.tooSlow.code, refusals.tooSlow.text)
        receiving.destroy(Object.assign(new Error('message took too long'), { code: 'ECONNECTION' }))
      }
      this.#timer = setTimeout(this.endMessage, dataMs)
      this.#timer.unref()
      receiving.once('close', () => {
        if (!this._closed) this.#awaitMessage()
      })
    }
  }
}

/** Makes `server` create its sessions from `Class`. Calls `onOpen` with each; a session emits 'close' at its end. */
export function useSessions(
  server: SMTPServer,
  Class: ReturnType<typeof createSessionClass>,
  onOpen: (session: SmtpSession) => void,
): void {
  server.connect = (socket, socketOptions) => {
    const session = new Class(server, socket, socketOptions)
    server.connections.add(session)
    session.on('error', (error: Error) => server.emit('error', error))
    onOpen(session)
    session.init()
  }
}
