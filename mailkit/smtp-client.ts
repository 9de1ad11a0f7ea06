// The SMTP test client: sends messages through one session and returns each result as a value.
// Owns the session; it connects with the first message. `send` never rejects.
import { setTimeout as sleep } from 'node:timers/promises'
import {
  openDialog,
  sendInDialog,
  type OutgoingMail,
  type SmtpDialog,
  type SmtpDialogOptions,
  type TlsTrust,
} from './smtp-dialog.ts'

export type SmtpResult =
  | { kind: 'accepted'; reply: string }
  /** A reply of 4xx or 5xx, to any command or as the greeting. */
  | { kind: 'refused'; code: number; reply: string }
  /** The connection ended without a reply. `reason` is the system's error code, or a few words. */
  | { kind: 'lost'; reason: string }

export type SmtpClientOptions = SmtpDialogOptions & {
  port: number
  /** The name given in EHLO. */
  name?: string
  /** Demands STARTTLS with a certificate of this authority for this name. */
  tls?: TlsTrust | undefined
  /** Called when an idle session ends without a 421 (RFC 5321 section 3.8) and without our QUIT. */
  onIdleLoss?: (reason: string) => void
}

export type SmtpClient = {
  /** False until the first message, and as soon as the server has ended the session. */
  isOpen: () => boolean
  send: (mail: OutgoingMail) => Promise<SmtpResult>
  /** Sends QUIT and closes. */
  quit: () => void
  /** Drops the connection. */
  close: () => void
}

/** A refusal of a command; a null reply is a lost connection. */
class Refusal extends Error {
  readonly reply: string | null

  constructor(reply: string | null) {
    super(reply ?? 'closed without a reply')
    this.reply = reply
  }
}

type Session = { dialog: SmtpDialog; extensions: string; hasEnded: boolean }

export function createSmtpClient(options: SmtpClientOptions): SmtpClient {
  let session: Session | undefined
  let isSending = false

  async function open(): Promise<Session> {
    const dialog = await openDialog(options.port, options)
    const opened: Session = { dialog, extensions: '', hasEnded: false }
    session = opened
    opened.extensions = await greet(dialog, options)
    void dialog.ended.then(() => {
      opened.hasEnded = true
      // While a message is sent, its result reports the end. After `quit` or `close`, this client caused the
      // end.
      if (!isSending && session === opened) reportIdleEnd(dialog, options)
    })
    return opened
  }
  const close = () => {
    session?.dialog.destroy()
    session = undefined
  }
  const isOpen = () => session?.hasEnded === false
  const send = async (mail: OutgoingMail): Promise<SmtpResult> => {
    isSending = true
    try {
      if (!isOpen()) close()
      const { dialog, extensions } = session ?? (await open())
      return await transact(dialog, extensions, mail)
    } catch (error) {
      const result = resultOf(error as Error, session?.dialog.failure() ?? null)
      if (result.kind === 'lost' || result.code === 421 || session?.extensions === '') close()
      return result
    } finally {
      isSending = false
    }
  }
  const quit = () => {
    const dialog = session?.dialog
    session = undefined
    void dialog
      ?.say('QUIT')
      .catch(() => null)
      .then(dialog.destroy)
  }
  return { isOpen, send, quit, close }
}

function reportIdleEnd(dialog: SmtpDialog, { onIdleLoss }: SmtpClientOptions): void {
  const failure = dialog.failure()
  if (failure === null && dialog.unread()?.startsWith('421') === true) return
  onIdleLoss?.(failure?.code ?? 'closed without 421')
}

/** Reads the greeting and sends EHLO, twice with STARTTLS. @returns the server's extensions. */
async function greet(dialog: SmtpDialog, { name = 'sender.origin.example', tls }: SmtpClientOptions) {
  demand(await dialog.reply())
  const extensions = demand(await dialog.say(`EHLO ${name}`))
  if (tls === undefined) return extensions
  demand(await dialog.say('STARTTLS'))
  await dialog.encrypt(tls)
  return demand(await dialog.say(`EHLO ${name}`))
}

async function transact(dialog: SmtpDialog, extensions: string, mail: OutgoingMail): Promise<SmtpResult> {
  const size = /^250[- ]SIZE\b/im.test(extensions) ? [`SIZE=${mail.raw.length}`] : []
  const mailParameters = [...size, ...(mail.mailParameters ?? [])]
  const replies = await sendInDialog(dialog, { ...mail, mailParameters })
  for (const reply of replies.slice(0, -1)) if (!reply?.startsWith('3')) demand(reply)
  return { kind: 'accepted', reply: demand(replies.at(-1) ?? null) }
}

function demand(reply: string | null): string {
  if (reply?.startsWith('2') !== true) throw new Refusal(reply)
  return reply
}

function resultOf(error: Error, failure: NodeJS.ErrnoException | null) {
  if (error instanceof Refusal && error.reply !== null)
    return { kind: 'refused', code: Number(error.reply.slice(0, 3)), reply: error.reply } as const
  return { kind: 'lost', reason: failure?.code ?? failure?.message ?? error.message } as const
}

/** @returns the server's reply. @throws {Error} with the refusal, or with what broke the connection. */
export function acceptedReply(result: SmtpResult): string {
  if (result.kind === 'accepted') return result.reply
  const reason = result.kind === 'refused' ? result.reply : result.reason
  throw new Error(`the server did not accept the message: ${reason}`)
}

/** Sends one message in a session of its own. */
export async function sendOnce(options: SmtpClientOptions, mail: OutgoingMail): Promise<SmtpResult> {
  const client = createSmtpClient(options)
  const result = await client.send(mail)
  if (client.isOpen()) client.quit()
  return result
}

/** Whether the server behind `port` greets with 220 in time. */
export async function greets(port: number, greetingMs: number): Promise<boolean> {
  const dialog = await openDialog(port, { greetingMs })
  const greeting = await dialog.reply().catch(() => null)
  dialog.destroy()
  return greeting?.startsWith('220') === true
}

/** QEMU accepts a connection long before the guest is up: only a greeting counts. */
const GREETING_MS = 2_000
const PAUSE_MS = 100
/** A guest that has not greeted after a minute is slow: each further attempt waits a fifth longer. */
const QUICK_ATTEMPTS = 30
const SLOW_GREETING_MS = 60_000

/**
 * The guest flushes to disk before it accepts. That takes 1 s when emulated, and much longer on a busy host.
 */
export const GUEST_REPLY_MS = 120_000

/**
 * Tries to send one message to a booting guest until the guest accepts it.
 * @returns the guest's reply. @throws only the reason of `signal`.
 */
export async function submitUntilAccepted(
  port: number,
  mail: OutgoingMail,
  signal: AbortSignal,
): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted()
    const slower = 1.2 ** Math.max(0, attempt - QUICK_ATTEMPTS)
    const greetingMs = Math.min(SLOW_GREETING_MS, GREETING_MS * slower)
    const result = await sendOnce({ port, greetingMs, replyMs: GUEST_REPLY_MS }, mail)
    if (result.kind === 'accepted') return result.reply
    // The guest is not up, or not ready. The time limit of the whole boot decides when to give up.
    await sleep(PAUSE_MS, undefined, { signal })
  }
}
