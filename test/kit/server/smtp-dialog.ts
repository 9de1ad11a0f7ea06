// An SMTP conversation with a server, line by line, over a real socket.
// Owns: the socket, and knowing how it ended.
import { connect, type Socket } from 'node:net'

/** Longest wait for a line; a test that waits longer hangs. */
const TIMEOUT_MS = 20_000

export type SmtpDialog = Awaited<ReturnType<typeof openDialog>>

/** The lines that come in on `socket`. */
function readLines(socket: Socket) {
  const lines: string[] = []
  const state = { rest: '', ended: false, error: null as NodeJS.ErrnoException | null }
  let notify = () => {}
  socket.on('data', (chunk) => {
    const parts = (state.rest + chunk.toString()).split('\r\n')
    state.rest = parts.pop() ?? ''
    lines.push(...parts)
    notify()
  })
  socket.on('end', () => {
    state.ended = true
    notify()
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    state.error = error
    state.ended = true
    notify()
  })

  /** The next line, or null when the server has closed. */
  async function line(): Promise<string | null> {
    const deadline = Date.now() + TIMEOUT_MS
    while (lines.length === 0 && !state.ended) {
      const left = deadline - Date.now()
      if (left <= 0) throw new Error('the server says nothing')
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        notify = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return lines.shift() ?? null
  }

  return { line, failure: () => state.error }
}

export async function openDialog(port: number) {
  // Half-open, as clients are that write on after the server has said goodbye.
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.setNoDelay(true)
  // Waiting has a timer that keeps the process; a conversation left open by a failed test must not.
  socket.unref()
  const { line, failure } = readLines(socket)
  // A refused connection is one that has ended: failure() tells, and every reply is null.
  const connecting = setTimeout(() => socket.destroy(new Error('no connection')), TIMEOUT_MS)
  await new Promise((resolve) => socket.once('connect', resolve).once('error', resolve))
  clearTimeout(connecting)

  /** The next reply, all its lines joined; null when the server has closed. */
  async function reply(): Promise<string | null> {
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
    write: (text: string | Buffer) => socket.write(text),
    /** Sends a command and returns the reply to it. */
    say: (command: string) => {
      socket.write(`${command}\r\n`)
      return reply()
    },
    /** Why the connection ended badly (a reset, say); null when it did not. */
    failure,
    end: () => socket.end(),
  }
}

/** A session past its greeting and EHLO. */
export async function openGreetedDialog(port: number): Promise<SmtpDialog> {
  const dialog = await openDialog(port)
  await dialog.reply()
  await dialog.say('EHLO client.example')
  return dialog
}

/** Sends one message. @returns the replies to MAIL, each RCPT, DATA and the final dot, as far as it came. */
export async function sendMail(
  dialog: SmtpDialog,
  {
    from = 'alice@sender.example',
    to,
    message = 'Subject: test\r\n\r\nHello\r\n',
  }: { from?: string; to: string[]; message?: string },
): Promise<(string | null)[]> {
  const replies = [await dialog.say(`MAIL FROM:<${from}>`)]
  for (const recipient of to) replies.push(await dialog.say(`RCPT TO:<${recipient}>`))
  const data = await dialog.say('DATA')
  replies.push(data)
  if (data?.startsWith('354')) replies.push(await dialog.say(`${message}.`))
  return replies
}
