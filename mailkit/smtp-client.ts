// Hands mail to a guest over SMTP. Owns: one session's opening, sending and closing as promises, and trying until a
// booting guest answers. Fails with the guest's reply (`responseCode`), or with what broke the connection.
import { setTimeout as sleep } from 'node:timers/promises'
import SMTPConnection from 'nodemailer/lib/smtp-connection'

/** `use8BitMime` declares a body of eight bits, BODY=8BITMIME (RFC 6152). */
export type Envelope = { from: string; to: string; use8BitMime?: boolean }

export type Session = {
  /** Resolves with the guest's reply to the final dot: the message is accepted. */
  send: (envelope: Envelope, raw: Buffer) => Promise<string>
  close: () => void
}

/** A connection is accepted outside the guest long before the guest is up: only a greeting means something. */
const GREETING_MS = 2_000
const PAUSE_MS = 100
/** A guest that has not greeted by then, after a minute, is slow: each further attempt waits a fifth longer. */
const QUICK_ATTEMPTS = 30
const SLOW_GREETING_MS = 60_000

/** Accepting means a flush to disk; emulated a second, on a machine under load many times that. */
const REPLY_MS = 120_000

/**
 * Opens a session with the guest behind `port`, if it greets within `greetingMs`.
 * @param tls demand STARTTLS, and this certificate for this name.
 */
export async function openSession(
  port: number,
  greetingMs: number,
  tls?: { ca: string; servername: string },
): Promise<Session> {
  const smtp = new SMTPConnection({
    host: '127.0.0.1',
    port,
    name: 'sender.origin.example',
    ...(tls === undefined ? { ignoreTLS: true } : { requireTLS: true, tls }),
    connectionTimeout: greetingMs,
    greetingTimeout: greetingMs,
    socketTimeout: REPLY_MS,
    logger: false,
  })
  const broken = Promise.withResolvers<never>()
  broken.promise.catch(() => {})
  // Stays for good: a guest that is switched off must not end the process.
  smtp.on('error', broken.reject)
  // nodemailer ends the connection before it reports a refusal: the refusal is the better reason.
  smtp.once('end', () => setImmediate(() => broken.reject(new Error('the guest closed the connection'))))
  try {
    await Promise.race([
      broken.promise,
      new Promise<void>((resolve, reject) => smtp.connect((error) => (error ? reject(error) : resolve()))),
    ])
  } catch (error) {
    smtp.close()
    throw error
  }
  const send = (envelope: Envelope, raw: Buffer) =>
    Promise.race([
      broken.promise,
      new Promise<string>((resolve, reject) =>
        smtp.send(envelope, raw, (error, info) => (error ? reject(error) : resolve(info.response))),
      ),
    ])
  return { send, close: () => smtp.close() }
}

/**
 * Tries to hand over one message until the guest takes it.
 * @returns the guest's reply. @throws only what `signal` was aborted with.
 */
export async function submitUntilAccepted(
  port: number,
  envelope: Envelope,
  raw: Buffer,
  signal: AbortSignal,
): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted()
    const slower = 1.2 ** Math.max(0, attempt - QUICK_ATTEMPTS)
    try {
      const session = await openSession(port, Math.min(SLOW_GREETING_MS, GREETING_MS * slower))
      try {
        return await session.send(envelope, raw)
      } finally {
        session.close()
      }
    } catch {
      // Not up yet, or up and not ready: whatever it was, the time limit of the whole boot decides.
      await sleep(PAUSE_MS, undefined, { signal })
    }
  }
}
