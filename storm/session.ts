// One SMTP session of a sender, and what can become of a message in it, as a value.
// Owns: telling a polite end (a 4xx, a 421 at any time, an idle session closed after a 421) from a connection that was
// reset, broken or closed without a word. Never rejects.
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import type { StormMessage } from './message.ts'

export type Sent =
  | { kind: 'accepted' }
  /** A reply of 4xx or 5xx. */
  | { kind: 'reply'; code: number }
  /** No reply: the connection was lost. `reason` is the system's code or nodemailer's. */
  | { kind: 'lost'; reason: string }

export type Session = {
  /** False as soon as the server has ended it. */
  isOpen: () => boolean
  send: (message: StormMessage) => Promise<Sent>
  quit: () => void
}

export type SessionOptions = { host: string; port: number; localAddress: string; name: string }

/** Real senders wait for minutes; nothing on this machine takes 20 s. */
const TIMEOUT_MS = 20_000

/** As nodemailer gives it; its type definitions lack some. */
type SendError = Error & { code?: string; originalCode?: string; responseCode?: number | false }

/**
 * Opens a session.
 * @param onLost hears of a session that was idle and ended without a 421
 */
export function openSession(
  options: SessionOptions,
  onLost: (reason: string) => void,
): Promise<Session | Sent> {
  const smtp = new SMTPConnection({
    ...options,
    ignoreTLS: true,
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
    logger: false,
  })
  let open = false
  let sending = false
  let quitting = false
  return new Promise((resolve) => {
    smtp.on('error', (error: SendError) => {
      // While something is asked of it, the error is the answer to that.
      if (open && !sending && !quitting) onLost(lostReason(error))
      open = false
      resolve(sentOf(error))
    })
    smtp.on('end', () => {
      if (open && !sending && !quitting && !wasDismissed(smtp)) onLost('closed without 421')
      open = false
    })
    smtp.connect((error) => {
      if (error) {
        smtp.close()
        return resolve(sentOf(error as SendError))
      }
      open = true
      resolve({
        isOpen: () => open,
        send: async (message) => {
          sending = true
          const sent = await transact(smtp, message)
          sending = false
          if (sent.kind === 'lost') open = false
          return sent
        },
        quit: () => {
          quitting = true
          open = false
          smtp.quit()
        },
      })
    })
  })
}

function transact(smtp: SMTPConnection, { from, to, body }: StormMessage): Promise<Sent> {
  return new Promise((resolve) => {
    smtp.send({ from, to: [to], size: body.length }, body, (error) => {
      resolve(error ? sentOf(error as SendError) : { kind: 'accepted' })
    })
  })
}

function sentOf(error: SendError): Sent {
  const { responseCode } = error
  if (typeof responseCode === 'number') return { kind: 'reply', code: responseCode }
  return { kind: 'lost', reason: lostReason(error) }
}

function lostReason({ originalCode, code, message }: SendError): string {
  return originalCode ?? code ?? message
}

/** nodemailer ends an idle session quietly when the server said 421 (RFC 5321 section 4.2) or just closed it. */
function wasDismissed(smtp: SMTPConnection): boolean {
  const { lastServerResponse } = smtp as unknown as { lastServerResponse?: string | false }
  return typeof lastServerResponse === 'string' && lastServerResponse.startsWith('421')
}
