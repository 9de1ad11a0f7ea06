// Accountable mail: senders over real sockets, and the mailboxes it must reach. Owns: when a message counts as promised (a
// 250 to the final dot, once for each mailbox behind the alias) and as arrived (the mailbox has it, byte for byte). After
// a broken connection a sender tries another server.
import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { startSmtpSink } from '../../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail, type SmtpDialog } from '../../../mailkit/smtp-dialog.ts'
import { between, type Random } from '../../../platform/seeded-random.ts'
import { oneOf } from './random.ts'
import type { Tally } from './tally.ts'

/** Aliases of the test routes, and the mailboxes behind them. */
export const ALIASES: Record<string, string[]> = {
  'info@example.org': ['a@b.example'],
  'two@example.org': ['c@d.example', 'e@f.example'],
}

/** Messages over one connection, as a sender's pool would send. */
const PER_CONNECTION = 5

/** Longer than a server takes to start on a busy machine. */
const PATIENCE_MS = 20_000

/** The share of messages that a mailbox defers. */
const DEFERRED_SHARE = 0.05

/** The longest time that a mailbox's host takes for a message. */
const LATENCY_MS = 10

const digestOf = (text: string) => createHash('sha256').update(text).digest('hex')

export async function startMailboxes(random: Random, tally: Tally, damaged: string[]) {
  return startSmtpSink({
    data: async ({ to, text: message }) => {
      await sleep(random() * LATENCY_MS)
      if (random() < DEFERRED_SHARE) return '451 4.3.0 later'
      const id = /^X-Mailfleet-Test-Id: (\S+)/m.exec(message)?.[1] ?? ''
      const digest = /^X-Mailfleet-Test-Digest: (\S+)/m.exec(message)?.[1]
      if (digestOf(message.slice(message.indexOf('\r\n\r\n') + 4)) !== digest)
        damaged.push(`${id}: ${message}`)
      for (const mailbox of to) tally.arrive(`${id} ${mailbox}`)
      return null
    },
  })
}

export type CrashSenders = {
  /** Resolves when one more message has been accepted. */
  accepted: () => Promise<void>
  /** Resolves when every sender has ended. */
  stop: () => Promise<void>
}

/** @param ports the ports of the running servers */
export function startCrashSenders(
  count: number,
  random: Random,
  tally: Tally,
  ports: () => number[],
): CrashSenders {
  let stopping = false

  async function send(): Promise<void> {
    while (!stopping) {
      const open = ports()
      if (open.length === 0) await sleep(5)
      else await session(oneOf(random, open)).catch(() => sleep(5))
    }
  }

  async function session(port: number): Promise<void> {
    const talk = await openGreetedDialog(port)
    try {
      for (let i = 0; i < PER_CONNECTION && !stopping; i++) await one(talk)
    } finally {
      talk.end()
    }
  }

  async function one(talk: SmtpDialog): Promise<void> {
    const id = randomUUID()
    const alias = oneOf(random, Object.keys(ALIASES))
    const body = `${id}\r\n`.repeat(1 + between(random, [0, 400]))
    const headers = [`X-Mailfleet-Test-Id: ${id}`, `X-Mailfleet-Test-Digest: ${digestOf(body)}`]
    const message = `${headers.join('\r\n')}\r\n\r\n${body}`
    const reply = (await sendMail(talk, { to: [alias], message })).at(-1)
    if (!reply?.startsWith('250')) throw new Error(`not accepted: ${reply}`)
    for (const mailbox of ALIASES[alias] ?? []) tally.promise(`${id} ${mailbox}`)
  }

  const sending = Array.from({ length: count }, send)
  return {
    accepted: async () => {
      const before = tally.promised()
      const deadline = Date.now() + PATIENCE_MS
      while (tally.promised() === before) {
        if (Date.now() > deadline) throw new Error('nothing is accepted any more')
        await sleep(2)
      }
    },
    stop: async () => {
      stopping = true
      await Promise.all(sending)
    },
  }
}
