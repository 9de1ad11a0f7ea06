// A raw SMTP conversation over one socket: the caller writes lines and reads replies.
// Owns the socket and knows how it ended. Waiting rejects when the server sends nothing for `replyMs`.
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls, type TLSSocket } from 'node:tls'

export type SmtpDialogOptions = {
  /** 127.0.0.1 unless given. */
  host?: string
  /** The address to connect from. */
  localAddress?: string
  /** Longest wait for the connection, and then for the greeting's first line; `replyMs` unless given. */
  greetingMs?: number
  /** Longest wait for a line. */
  replyMs?: number
}

export type TlsTrust = { ca: string; servername: string }

export type OutgoingMail = {
  from: string
  to: readonly string[]
  /** Lines end in CRLF. The dots at line starts are doubled on the wire. */
  raw: Buffer
  /** Parameters of MAIL, for example BODY=8BITMIME. */
  mailParameters?: readonly string[]
}

export type SmtpDialog = {
  /** The next line; null when the server has closed or reset the connection. */
  line: () => Promise<string | null>
  /** The next reply, its lines joined by LF; null as for `line`. */
  reply: () => Promise<string | null>
  /** Writes text as it is: a part of a line, or several pipelined commands. */
  write: (text: string | Buffer) => void
  /** Writes large data with back-pressure. Rejects when nothing is taken for `replyMs`. */
  writeAll: (data: Buffer) => Promise<void>
  /** Sends one command and returns the reply. */
  say: (text: string) => Promise<string | null>
  /** Encrypts the connection, after the server's 220 to STARTTLS. */
  encrypt: (trust: TlsTrust) => Promise<void>
  /** A line that has come and was not read yet. */
  unread: () => string | undefined
  /** Resolves when the server has closed or reset the connection. */
  ended: Promise<void>
  /** The error that broke the connection, for example a reset; null if there was none. */
  failure: () => NodeJS.ErrnoException | null
  /** Closes this side only; the server may still write. */
  end: () => void
  destroy: () => void
}

const REPLY_MS = 20_000
const CHUNK_BYTES = 65_536

/** Resolves when connected, and also when connecting failed: then `failure` tells why and each reply is null. */
export async function openDialog(port: number, options: SmtpDialogOptions = {}): Promise<SmtpDialog> {
  const { host = '127.0.0.1', localAddress, replyMs = REPLY_MS, greetingMs = replyMs } = options
  // Half-open: some clients still write after the server has closed its side.
  let socket: Socket | TLSSocket = connect({ port, host, localAddress, allowHalfOpen: true })
  socket.setNoDelay(true)
  // An open dialog must not keep the process alive after a failed test. While a line is awaited, its timer
  // does.
  socket.unref()
  const lines = receiveLines(socket)
  const connecting = setTimeout(() => socket.destroy(new Error('no connection')), greetingMs)
  await new Promise((resolve) => socket.once('connect', resolve).once('error', resolve))
  clearTimeout(connecting)

  let waitMs = greetingMs
  const line = async () => {
    const next = await lines.next(waitMs)
    waitMs = replyMs
    return next
  }
  const reply = async () => {
    const parts: string[] = []
    for (;;) {
      const next = await line()
      if (next === null) return parts.length > 0 ? parts.join('\n') : null
      parts.push(next)
      if (!/^\d{3}-/.test(next)) return parts.join('\n')
    }
  }
  return {
    line,
    reply,
    write: (text) => void socket.write(text),
    writeAll: (data) => writeAll(socket, data, replyMs),
    say: (text) => {
      socket.write(`${text}\r\n`)
      return reply()
    },
    encrypt: async (trust) => {
      lines.stopReceiving()
      const secured = connectTls({ socket, ca: trust.ca, servername: trust.servername })
      socket = secured
      lines.receiveFrom(secured)
      await Promise.race([
        new Promise((resolve) => secured.once('secureConnect', resolve).once('error', resolve)),
        lines.ended,
      ])
    },
    unread: lines.first,
    ended: lines.ended,
    failure: lines.failure,
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
  }
}

/** Opens a dialog, reads the greeting and sends EHLO. */
export async function openGreetedDialog(port: number): Promise<SmtpDialog> {
  const dialog = await openDialog(port)
  await dialog.reply()
  await dialog.say('EHLO client.example')
  return dialog
}

/**
 * Sends one message. Stops at a refused MAIL, and before DATA when no recipient was accepted.
 * @returns the replies to MAIL, each RCPT, DATA and the final dot, as far as it came; null when the connection ended.
 */
export async function sendInDialog(
  dialog: SmtpDialog,
  { from, to, raw, mailParameters = [] }: OutgoingMail,
): Promise<(string | null)[]> {
  const accepted = (reply: string | null) => reply?.startsWith('2') === true
  const parameters = mailParameters.map((parameter) => ` ${parameter}`).join('')
  const mail = await dialog.say(`MAIL FROM:<${from}>${parameters}`)
  if (!accepted(mail)) return [mail]
  const recipients: (string | null)[] = []
  for (const recipient of to) recipients.push(await dialog.say(`RCPT TO:<${recipient}>`))
  const replies = [mail, ...recipients]
  if (!recipients.some(accepted)) return replies
  const data = await dialog.say('DATA')
  replies.push(data)
  if (data?.startsWith('354') !== true) return replies
  await dialog.writeAll(Buffer.concat([stuffDots(raw), Buffer.from('.\r\n')]))
  return [...replies, await dialog.reply()]
}

/** Sends a small text message through a dialog. @returns as {@link sendInDialog}. */
export function sendMail(
  dialog: SmtpDialog,
  {
    from = 'alice@sender.example',
    to,
    message = 'Subject: test\r\n\r\nHello\r\n',
  }: { from?: string; to: string[]; message?: string },
): Promise<(string | null)[]> {
  return sendInDialog(dialog, { from, to, raw: Buffer.from(message) })
}

/** RFC 5321 section 4.5.2. */
function stuffDots(raw: Buffer): Buffer {
  const start = raw[0] === 0x2e ? '.' : ''
  if (start === '' && !raw.includes('\n.')) return raw
  return Buffer.from(start + raw.toString('latin1').replaceAll('\n.', '\n..'), 'latin1')
}

async function writeAll(socket: Socket, data: Buffer, stallMs: number): Promise<void> {
  for (let offset = 0; offset < data.length; offset += CHUNK_BYTES) {
    const written = new Promise<'written'>((resolve) =>
      // After a connection error the write also resolves. `failure` reports the error, and the next reply is
      // null.
      socket.write(data.subarray(offset, offset + CHUNK_BYTES), () => resolve('written')),
    )
    const abort = new AbortController()
    const stalled = sleep(stallMs, 'stalled' as const, { signal: abort.signal }).catch(() => 'written')
    const outcome = await Promise.race([written, stalled])
    abort.abort()
    if (outcome === 'stalled') throw new Error(`the server took no data for ${stallMs} ms`)
  }
}

function receiveLines(first: Socket) {
  const lines: string[] = []
  let rest = ''
  let ended = false
  let failure: NodeJS.ErrnoException | null = null
  let notify = () => {}
  const end = Promise.withResolvers<void>()
  const onData = (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\r\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
    notify()
  }
  const onEnd = () => {
    ended = true
    notify()
    end.resolve()
  }
  const receiveFrom = (socket: Socket) => {
    socket.on('data', onData)
    socket.on('end', onEnd)
    socket.on('close', onEnd)
    socket.on('error', (error) => {
      failure ??= error
      onEnd()
    })
  }
  receiveFrom(first)
  return {
    receiveFrom,
    /** What comes from now on is TLS, which is not for lines. */
    stopReceiving: () => void first.off('data', onData),
    ended: end.promise,
    failure: () => failure,
    first: () => lines[0],
    next: async (waitMs: number): Promise<string | null> => {
      const deadlineMs = Date.now() + waitMs
      while (lines.length === 0 && !ended) {
        const leftMs = deadlineMs - Date.now()
        if (leftMs <= 0) throw new Error(`the server sent nothing for ${waitMs} ms`)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, leftMs)
          notify = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
      return lines.shift() ?? null
    },
  }
}
