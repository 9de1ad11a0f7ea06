// An SMTP server that plays the destinations in tests. It accepts, delays or refuses mail, and keeps what it
// received.
// Owns one listener on loopback. Fails only if it cannot listen; a client's error ends that client's session.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { SMTPServer } from 'smtp-server'

export type ReceivedMessage = {
  /** The reverse path; empty for a DSN. */
  from: string
  to: string[]
  raw: Buffer
  /** `raw` as text. */
  readonly text: string
}

/** A refusal such as '550 5.1.1 no such user'; null accepts. */
export type SmtpReply = string | null

export type SmtpSinkOptions = {
  /** A free one unless given. */
  port?: number
  /** Closes a session after this long without a command. */
  idleMs?: number
  /** false: received messages are only given to `data`. */
  keepsMail?: boolean
  /** Decides on each recipient. It may wait. */
  rcpt?: (address: string) => SmtpReply | Promise<SmtpReply>
  /** Decides on each message after its final dot, before the reply. It may wait. */
  data?: (message: ReceivedMessage) => SmtpReply | Promise<SmtpReply>
}

export type SmtpSink = {
  port: number
  /** The accepted messages, in the order of their acceptance. */
  mail: ReceivedMessage[]
  /** Connections so far. */
  connections: () => number
  /** Waits until `count` messages were accepted. @throws {Error} after 20 s */
  received: (count: number) => Promise<ReceivedMessage[]>
  close: () => Promise<void>
}

const WAIT_MS = 20_000

export async function startSmtpSink({
  port = 0,
  idleMs = 60_000,
  keepsMail = true,
  rcpt = () => null,
  data = () => null,
}: SmtpSinkOptions = {}): Promise<SmtpSink> {
  const mail: ReceivedMessage[] = []
  let connections = 0
  const server = new SMTPServer({
    name: 'sink.example',
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    logger: false,
    closeTimeout: 100,
    socketTimeout: idleMs,
    onConnect: (_session, done) => {
      connections += 1
      done()
    },
    onRcptTo: ({ address }, _session, done) => {
      Promise.resolve(rcpt(address)).then((answer) => done(refusalOf(answer)), done)
    },
    onData: (stream, { envelope: { mailFrom, rcptTo } }, done) => {
      const receive = async () => {
        const raw = await buffer(stream)
        const from = mailFrom === false ? '' : mailFrom.address
        const to = rcptTo.map(({ address }) => address)
        const message = receivedMessage(from, to, raw)
        const answer = await data(message)
        if (answer === null && keepsMail) mail.push(message)
        done(refusalOf(answer), '2.0.0 received')
      }
      receive().catch(done)
    },
  })
  // A client that disappears, such as a guest without power, is not the sink's error.
  server.on('error', () => {})
  const listening = once(server.server, 'listening')
  server.listen(port, '127.0.0.1')
  await listening
  // A test that fails before it closes its sink must still end.
  server.server.unref()
  return {
    port: (server.server.address() as AddressInfo).port,
    mail,
    connections: () => connections,
    received: async (count) => {
      const deadlineMs = Date.now() + WAIT_MS
      while (mail.length < count) {
        if (Date.now() > deadlineMs) throw new Error(`${mail.length} of ${count} messages arrived`)
        await sleep(5)
      }
      return mail
    },
    close: () => new Promise<void>((resolve) => server.close(resolve)),
  }
}

export function receivedMessage(from: string, to: string[], raw: Buffer): ReceivedMessage {
  return {
    from,
    to,
    raw,
    get text() {
      return raw.toString()
    },
  }
}

function refusalOf(answer: SmtpReply): Error | null {
  if (answer === null) return null
  return Object.assign(new Error(answer.slice(4)), { responseCode: Number(answer.slice(0, 3)) })
}
