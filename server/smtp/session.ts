// One SMTP session: smtp-server's connection with what the library leaves out. The only file that touches members
// the library keeps for itself (typed, but undocumented): recheck it at every update of smtp-server.
// Owns: a greeting without the library's 100 ms wait, replies to a client that has closed its side, no new transaction
// while draining, bounds on how long one message may take and how long a session may go without one (shorter for a full
// table of connections), and whether a session is idle.
import type { SMTPServer } from 'smtp-server'
import { SMTPConnection } from 'smtp-server/lib/smtp-connection'
import type { SMTPStream } from 'smtp-server/lib/smtp-stream'
import { parsePathCommand } from './path-command.ts'
import { refusals } from './refusal.ts'

/** Commands that belong to a transaction under way; all others start something new. */
const TRANSACTION_COMMANDS = new Set(['RCPT', 'DATA', 'RSET', 'NOOP', 'QUIT'])

/** Begins the texts of our own replies. */
const ENHANCED = /^[245]\.\d{1,3}\.\d{1,3} /

/** No text from outside may begin a line of its own. */
// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x1f\x7f-\x9f]/g

/** What the library sends without an enhanced code: replies to HELO and EHLO, and the greeting. */
function isGreeting(context: string | false | undefined): boolean {
  return context === false || context === 'HELO' || context === 'EHLO'
}

/** How the rest of the server looks at a session. */
export type SmtpSession = SMTPConnection & {
  /** Between transactions, with no command being worked on. */
  isIdle: () => boolean
  /** Between an accepted MAIL and the last reply of its transaction. */
  inTransaction: () => boolean
  /** Ends the session if its client owes us input for longer than this. For a full table of connections. */
  endIfSlow: (limits: { idleMs: number; commandsMs: number }) => void
  /** Says 421 and closes; what the client still sends is read and ignored, so nothing is reset. */
  dismiss: () => void
}

type SessionOptions = {
  isDraining: () => boolean
  /** Longest time from DATA to the final dot. */
  dataMs: number
  /** Longest time from the greeting, or the end of a message, to the next DATA. */
  commandsMs: number
}

/** The library's connection with our own replies, and our own reading of MAIL and RCPT. */
class ExactConnection extends SMTPConnection {
  /** Everything the client sent before it closed its side has been answered by then: nothing more will be said. */
  override _createParser(): SMTPStream {
    const parser = super._createParser()
    parser.once('finish', () => this.close())
    return parser
  }

  override _parseAddressCommand(name: string, command: Buffer | string) {
    return parsePathCommand(name, command.toString()) ?? false
  }

  /**
   * Replaces the library's, which says nothing more once the client has closed its side. Every reply but the
   * greeting, those to HELO and EHLO, and 354 has an enhanced code (RFC 2034): the text's own, or the library's.
   */
  override send(code: number, data: string | string[], context?: string | false): void {
    const usual = this._getEnhancedStatusCode(code, code >= 400 && isGreeting(context) ? undefined : context)
    const lines = Array.isArray(data) ? data : [data]
    const reply = lines.map((line, index) => {
      const enhanced = usual === '' || ENHANCED.test(line) ? '' : `${usual} `
      return `${code}${index < lines.length - 1 ? '-' : ' '}${enhanced}${line.replace(CONTROL, ' ')}\r\n`
    })
    // During a TLS handshake it would be clear text in the middle of it.
    if (!this._upgrading && this._socket.writable) this._socket.write(reply.join(''))
    if (code === 421) this.close()
  }
}

/** The connection as the listener looks at it: what it is doing, and for how long its client has been silent. */
class WatchedConnection extends ExactConnection {
  /** Bytes read when the client was last looked at, and when it was last heard. Monotonic, ms. */
  #bytesRead = 0
  #heardMs = performance.now()
  /** Since when it has sent no message. */
  awaitedMs = performance.now()
  /** Ends a message that is being received. */
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

  /** The client waits for our reply: nothing to hold against it. */
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

/** Makes the class of sessions that `options` holds for. */
export function createSessionClass({ isDraining, dataMs, commandsMs }: SessionOptions) {
  return class extends WatchedConnection implements SmtpSession {
    /** Runs while a message comes, or while none does. */
    #timer: NodeJS.Timeout | undefined

    /** Greets at once. The library waits 100 ms for clients that talk too soon, on every connection. */
    override init(): void {
      this.#awaitMessage()
      this._setListeners(() => this.connectionReady())
    }

    /** The library's time-out begins anew with every byte, so that a few bytes an hour would hold a connection. */
    #awaitMessage(): void {
      clearTimeout(this.#timer)
      this.endMessage = undefined
      this.awaitedMs = performance.now()
      this.#timer = setTimeout(() => this.send(refusals.noMessage.code, refusals.noMessage.text), commandsMs)
      this.#timer.unref()
    }

    /** Once, however it ends. Of the socket one could not hear: STARTTLS takes all listeners off it. */
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

/** Makes `server` serve its connections with `Class`; `onOpen` hears of each, which emits 'close' when it has ended. */
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
