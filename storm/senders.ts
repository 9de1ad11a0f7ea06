// The senders of a storm. Each is a mail server with its own address, and retries a message until a 250 or a 5xx.
// After a 4xx or a lost connection it waits longer each time, with jitter, as real senders do.
// Nothing here fails: every result goes into the ledger.
import { setTimeout as sleep } from 'node:timers/promises'
import { createSmtpClient, type SmtpClient, type SmtpResult } from '../mailkit/smtp-client.ts'
import type { Ledger } from './ledger.ts'
import type { StormMessage } from './message.ts'
import { between, type Random } from '../platform/seeded-random.ts'
import type { Scenario } from './scenario.ts'

export type StormSenders = {
  /** Hands a message to one of the senders. */
  submit: (message: StormMessage) => void
  /** Messages without a final result yet. */
  waiting: () => number
  /** Starts no further attempt. Resolves when the running attempts have ended and the open sessions have sent QUIT. */
  stop: () => Promise<void>
}

type SendersOptions = {
  host: string
  port: number
  settings: Scenario['senders']
  random: Random
  ledger: Ledger
}

/** A sender makes at most `connections` attempts at a time. `idle` holds its open sessions between two messages. */
type Sender = {
  localAddress: string
  keepsOpen: boolean
  freeConnections: number
  waiters: (() => void)[]
  idle: IdleSession[]
}
type IdleSession = { session: SmtpClient; timer: NodeJS.Timeout }

/** A 421 ends the session and says nothing about the message. Real senders try the next host at once. */
const AFTER_421_MS = 100

/** Real senders wait for minutes. On one machine 20 s is enough. */
const REPLY_TIMEOUT_MS = 20_000

export function createSenders(options: SendersOptions): StormSenders {
  const { settings, random, ledger } = options
  const senders = Array.from({ length: settings.count }, (_, index): Sender => {
    // Every address in 127.0.0.0/8 is local, so the server's admission sees each sender as another client.
    const localAddress = `127.0.1.${(index % 250) + 1}`
    return {
      localAddress,
      keepsOpen: random() < settings.keepOpenShare,
      freeConnections: settings.connections,
      waiters: [],
      idle: [],
    }
  })
  const stopping = new AbortController()
  const { signal } = stopping
  const unfinished = new Set<Promise<void>>()

  async function deliver(sender: Sender, message: StormMessage): Promise<void> {
    for (let failures = 0; !signal.aborted;) {
      await takeConnection(sender)
      const sent = signal.aborted ? undefined : await attempt(sender, message, options)
      returnConnection(sender)
      if (sent === undefined || sent.kind === 'accepted') return
      if (sent.kind === 'refused' && sent.code >= 500) return ledger.rejected()
      const sessionEnded = sent.kind === 'refused' && sent.code === 421
      if (!sessionEnded) failures += 1
      const waitMs = sessionEnded ? AFTER_421_MS : retryDelayMs(failures, settings.retry, random)
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
      for (const { waiters } of senders) for (const resume of waiters.splice(0)) resume()
      await Promise.all(unfinished)
      for (const sender of senders) while (sender.idle.length > 0) takeIdle(sender)?.quit()
    },
  }
}

/** Doubles from `firstMs` up to `maxMs`. Up to `jitter` of it is added or subtracted. */
export function retryDelayMs(
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
    replyMs: REPLY_TIMEOUT_MS,
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

function takeIdle(sender: Sender): SmtpClient | undefined {
  for (let idle = sender.idle.pop(); idle; idle = sender.idle.pop()) {
    clearTimeout(idle.timer)
    if (idle.session.isOpen()) return idle.session
  }
  return undefined
}

async function takeConnection(sender: Sender): Promise<void> {
  if (sender.freeConnections === 0) await new Promise<void>((resolve) => sender.waiters.push(resolve))
  else sender.freeConnections -= 1
}

function returnConnection(sender: Sender): void {
  const next = sender.waiters.shift()
  if (next) next()
  else sender.freeConnections += 1
}
