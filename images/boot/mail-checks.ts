// The mail that a boot test sends after the first message: every kind, many at once, and the last before the power cut.
// Owns the numbers of messages. Fails with the problems of a message, or by the caller's signal.
import { randomUUID } from 'node:crypto'
import type { Mailbox } from '../../mailkit/mailbox.ts'
import { acceptedReply, createSmtpClient, GUEST_REPLY_MS, sendOnce } from '../../mailkit/smtp-client.ts'
import { ALIAS, eightBitMessage, forwardProblems, largeMessage, SENDER, testMessage } from './test-message.ts'
import { TLS_CERTIFICATE, TLS_NAME } from './test-tls.ts'
import { throwProblems } from './watch.ts'

/** Emulated, a handshake takes a second or two, under load many times that. */
const GREETING_MS = 120_000
const LARGE_BYTES = 10 * 1024 * 1024
/** Enough messages for V8 to compile their whole path, and for hundreds of flushes. */
const SESSIONS = 4
const MESSAGES_EACH = 50
const HELD_EACH = 5

export type Through = { port: number; mailbox: Mailbox; signal: AbortSignal }

/** Sends over STARTTLS, in eight bits, and 10 MiB. @returns the names of the passed checks */
export async function forwardsEveryKind({ port, mailbox, signal }: Through): Promise<string[]> {
  const now = new Date()
  const tls = { ca: TLS_CERTIFICATE, servername: TLS_NAME }
  const kinds = [
    { name: 'starttls', tls, make: testMessage, mailParameters: [] },
    { name: '8-bit', make: eightBitMessage, mailParameters: ['BODY=8BITMIME'] },
    { name: '10-mebibytes', make: (id: string) => largeMessage(id, now, LARGE_BYTES), mailParameters: [] },
  ]
  for (const { name, tls: secured, make, mailParameters } of kinds) {
    const id = randomUUID()
    const raw = make(id, now)
    const mail = { from: SENDER, to: [ALIAS], raw, mailParameters }
    acceptedReply(
      await sendOnce({ port, greetingMs: GREETING_MS, replyMs: GUEST_REPLY_MS, tls: secured }, mail),
    )
    const received = await mailbox.arrival(id, signal)
    throwProblems(forwardProblems(raw, received).map((problem) => `the ${name} message: ${problem}`))
  }
  return kinds.map(({ name }) => name)
}

/** Sends many messages on several connections. @returns how many; all arrived unchanged */
export async function forwardsUnderLoad(through: Through): Promise<number> {
  const sent = await send(through, MESSAGES_EACH)
  for (const { id, raw } of sent) {
    const received = await through.mailbox.arrival(id, through.signal)
    throwProblems(forwardProblems(raw, received).map((problem) => `a message under load: ${problem}`))
  }
  return sent.length
}

/** Sends messages that the guest accepts while their destination refuses. @returns their ids */
export async function acceptsWhatWaits(through: Through): Promise<string[]> {
  through.mailbox.refuse(true)
  return (await send(through, HELD_EACH)).map(({ id }) => id)
}

async function send({ port, signal }: Through, each: number): Promise<{ id: string; raw: Buffer }[]> {
  const connection = async () => {
    const client = createSmtpClient({ port, greetingMs: GREETING_MS, replyMs: GUEST_REPLY_MS })
    try {
      const sent: { id: string; raw: Buffer }[] = []
      for (let n = 0; n < each; n++) {
        signal.throwIfAborted()
        const id = randomUUID()
        const raw = testMessage(id, new Date())
        acceptedReply(await client.send({ from: SENDER, to: [ALIAS], raw }))
        sent.push({ id, raw })
      }
      return sent
    } finally {
      client.close()
    }
  }
  const results = await Promise.all(Array.from({ length: SESSIONS }, connection))
  return results.flat()
}
