// Decides which refusals count as demand. Owns: counting a refused message once, however often its sender retries.
// A message is identified by its client, sender address and announced size: MAIL contains no more. Memory and counts
// are bounded. Cannot fail.
import { clientKey } from './admission.ts'
import type { SmtpRefusal } from './refusal.ts'

/** Most messages counted in a window. 10,000 ask for 100 instances, with the default target of 100 messages each. */
const MAX_COUNTED = 10_000

/** The refused message or connection. */
export type RefusedMessage = {
  clientAddress: string
  /** Empty before MAIL. */
  reversePath: string
  /** The announced SIZE; 0 without one. */
  sizeBytes: number
}

export type RefusedDemand = {
  /** Whether this refusal is a new message that another instance could have accepted. */
  counts: (reason: SmtpRefusal['reason'], refused: RefusedMessage) => boolean
}

/**
 * Remembers the messages refused within `windowMs`.
 * A connection refused at the limit counts once per client, since it may or may not bring a message. The
 * count never exceeds the sessions that are sending a message (`transactions()`). So a table full of silent
 * sessions is no demand.
 * @param options.nowMs a monotonic clock
 */
export function createRefusedDemand(options: {
  windowMs: number
  transactions: () => number
  nowMs: () => number
}): RefusedDemand {
  const { windowMs, transactions, nowMs } = options
  const messages = new Map<string, number>()
  const clients = new Map<string, number>()

  function addNew(seen: Map<string, number>, key: string, most: () => number): boolean {
    const now = nowMs()
    // A map keeps the order of insertion, so the oldest entries come first.
    for (const [old, atMs] of seen) {
      if (now - atMs < windowMs) break
      seen.delete(old)
    }
    if (seen.has(key) || seen.size >= most()) return false
    seen.set(key, now)
    return true
  }

  return {
    counts: (reason, { clientAddress, reversePath, sizeBytes }) => {
      const client = clientKey(clientAddress)
      if (reason === 'sessions') return addNew(clients, client, () => Math.min(transactions(), MAX_COUNTED))
      if (reason !== 'backlog' && reason !== 'memory') return false
      return addNew(messages, `${client} ${sizeBytes} ${reversePath}`, () => MAX_COUNTED)
    },
  }
}
