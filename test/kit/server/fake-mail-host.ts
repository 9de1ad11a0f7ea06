// Somebody else's mail server for tests: takes mail, remembers it, and refuses what the test says.
// Owns: a real SMTP listener on loopback.
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { SMTPServer } from 'smtp-server'

/** A refusal such as '550 5.1.1 no such user', or null to accept. */
export type SmtpReply = string | null

export type ReceivedMessage = { from: string; to: string[]; message: string }

export type FakeMailHostOptions = {
  port?: number
  /** Closes a session that is silent for so long. */
  idleMs?: number
  rcpt?: (address: string) => SmtpReply | Promise<SmtpReply>
  data?: (sunk: ReceivedMessage) => SmtpReply | Promise<SmtpReply>
}

export type FakeMailHost = Awaited<ReturnType<typeof startFakeMailHost>>

const TIMEOUT_MS = 20_000

export async function startFakeMailHost({
  port = 0,
  idleMs = 60_000,
  rcpt = () => null,
  data = () => null,
}: FakeMailHostOptions = {}) {
  const mail: ReceivedMessage[] = []
  const counts = { connections: 0 }
  const server = new SMTPServer({
    name: 'sink.example',
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    logger: false,
    closeTimeout: 100,
    socketTimeout: idleMs,
    onConnect: (_session, callback) => {
      counts.connections++
      callback()
    },
    onRcptTo: (address, _session, callback) => {
      void Promise.resolve(rcpt(address.address)).then((answer) => callback(refusal(answer)))
    },
    onData: (stream, session, callback) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope
        const sunk = {
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          message: Buffer.concat(chunks).toString(),
        }
        void Promise.resolve(data(sunk)).then((answer) => {
          if (answer === null) mail.push(sunk)
          callback(refusal(answer), '2.0.0 sunk')
        })
      })
    },
  })
  server.on('error', () => {})
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  server.server.unref()
  return {
    port: (server.server.address() as AddressInfo).port,
    mail,
    counts,
    /** The mail, once there are `count` of them. */
    received: async (count: number): Promise<ReceivedMessage[]> => {
      const deadline = Date.now() + TIMEOUT_MS
      while (mail.length < count) {
        if (Date.now() > deadline) throw new Error(`${mail.length} of ${count} messages arrived`)
        await sleep(5)
      }
      return mail
    },
    close: () => new Promise<void>((resolve) => server.close(resolve)),
  }
}

function refusal(answer: SmtpReply): Error | null {
  if (answer === null) return null
  return Object.assign(new Error(answer.slice(4)), { responseCode: Number(answer.slice(0, 3)) })
}
