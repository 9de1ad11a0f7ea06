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

/** Accepting means a flush to disk; emulated and busy, a second. */
const REPLY_MS = 30_000

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
  for (;;) {
    signal.throwIfAborted()
    try {
      const session = await openSession(port, GREETING_MS)
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
