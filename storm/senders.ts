// The senders of a storm: mail servers with an address of their own that try each message until it is taken.
// Owns: their habits. Each has a few sessions at once, some keep a session open for the next message, and all retry
// after a 4xx or a lost connection with doubling, jittered waits, as real ones do. A 5xx ends a message. Everything
// that happens goes into the ledger; nothing here fails.
import { setTimeout as sleep } from 'node:timers/promises'
import { createSmtpClient, type SmtpClient, type SmtpResult } from '../mailkit/smtp-client.ts'
import type { Ledger } from './ledger.ts'
import type { StormMessage } from './message.ts'
import { between, type Random } from '../platform/seeded-random.ts'
import type { Scenario } from './scenario.ts'

export type Senders = {
  /** Hands a message to one of the senders. */
  submit: (message: StormMessage) => void
  /** Messages that no sender has got rid of yet. */
  waiting: () => number
  /** No further attempts; open sessions say QUIT. Ends when the attempts under way have ended. */
  stop: () => Promise<void>
}

type SendersOptions = {
  host: string
  port: number
  settings: Scenario['senders']
  random: Random
  ledger: Ledger
}

/** One sender: at most `connections` attempts at a time, and the sessions it holds open meanwhile. */
type Sender = { localAddress: string; keepsOpen: boolean; free: number; turns: (() => void)[]; idle: Idle[] }
type Idle = { session: SmtpClient; timer: NodeJS.Timeout }

/** The session is ending, the message was not the reason: real senders try the next host at once. */
const AFTER_421_MS = 100

/** Real senders wait for minutes; nothing on this machine takes 20 s. */
const REPLY_MS = 20_000

export function createSenders(options: SendersOptions): Senders {
  const { settings, random, ledger } = options
  const senders = Array.from({ length: settings.count }, (_, index): Sender => {
    // Loopback is a whole network: each sender has its own client address, as admission sees it.
    const localAddress = `127.0.1.${(index % 250) + 1}`
    return {
      localAddress,
      keepsOpen: random() < settings.keepOpenShare,
      free: settings.connections,
      turns: [],
      idle: [],
    }
  })
  const stopping = new AbortController()
  const { signal } = stopping
  const unfinished = new Set<Promise<void>>()

  async function deliver(sender: Sender, message: StormMessage): Promise<void> {
    for (let failures = 0; !signal.aborted;) {
      await turn(sender)
      const sent = signal.aborted ? undefined : await attempt(sender, message, options)
      release(sender)
      if (sent === undefined || sent.kind === 'accepted') return
      if (sent.kind === 'refused' && sent.code >= 500) return ledger.rejected()
      const dismissed = sent.kind === 'refused' && sent.code === 421
      if (!dismissed) failures += 1
      const waitMs = dismissed ? AFTER_421_MS : retryMs(failures, settings.retry, random)
      await sleep(waitMs, undefined, { signal }).catch(() => {})
    }
  }

  return {
    submit: (message) => {
      ledger.offered(message.id)
      const sender = senders[Math.floor(random() * senders.length)]
      if (!sender) return
      const work = deliver(sender, message).finally(() => unfinished.delete(work))
      unfinished.add(work)
    },
    waiting: () => unfinished.size,
    stop: async () => {
      stopping.abort()
      for (const { turns } of senders) for (const go of turns.splice(0)) go()
      await Promise.all(unfinished)
      for (const sender of senders) while (sender.idle.length > 0) takeIdle(sender)?.quit()
    },
  }
}

/** The wait after so many failures: doubling from `firstMs` to `maxMs`, longer or shorter by up to `jitter`. */
export function retryMs(
  failures: number,
  { firstMs, maxMs, jitter }: Scenario['senders']['retry'],
  random: Random,
): number {
  const base = Math.min(maxMs, firstMs * 2 ** (failures - 1))
  return base * between(random, [1 - jitter, 1 + jitter])
}

async function attempt(sender: Sender, message: StormMessage, options: SendersOptions): Promise<SmtpResult> {
  const { settings, ledger } = options
  const { localAddress } = sender
  ledger.attempted()
  const client = takeIdle(sender) ?? openClient(localAddress, options)
  const sent = await client.send({ from: message.from, to: [message.to], raw: message.body })
  if (sent.kind === 'accepted') ledger.accepted(message.id, Date.now())
  if (sent.kind === 'lost') ledger.reset(sent.reason)
  if (sent.kind === 'refused' && sent.code < 500) ledger.refused(sent.code)
  if (sent.kind === 'accepted' && sender.keepsOpen && client.isOpen())
    keepIdle(sender, client, settings.idleMs)
  else if (client.isOpen()) client.quit()
  return sent
}

function openClient(localAddress: string, { host, port, ledger }: SendersOptions): SmtpClient {
  return createSmtpClient({
    host,
    port,
    localAddress,
    name: 'mta.origin.example',
    replyMs: REPLY_MS,
    onIdleLoss: ledger.reset,
  })
}

function keepIdle(sender: Sender, session: SmtpClient, idleMs: number): void {
  const timer = setTimeout(() => {
    sender.idle = sender.idle.filter((idle) => idle.session !== session)
    if (session.isOpen()) session.quit()
  }, idleMs)
  sender.idle.push({ session, timer })
}

/** An open session that nothing uses. */
function takeIdle(sender: Sender): SmtpClient | undefined {
  for (let idle = sender.idle.pop(); idle; idle = sender.idle.pop()) {
    clearTimeout(idle.timer)
    if (idle.session.isOpen()) return idle.session
  }
  return undefined
}

async function turn(sender: Sender): Promise<void> {
  if (sender.free === 0) await new Promise<void>((resolve) => sender.turns.push(resolve))
  else sender.free -= 1
}

function release(sender: Sender): void {
  const next = sender.turns.shift()
  if (next) next()
  else sender.free += 1
}
