// Which refusals count as demand. Owns: counting a refused message once, however often its sender tries it.
// A message is known by its client, sender address and announced size, since MAIL names no more. Bounded in memory and
// in what it counts; it cannot fail.
import { clientKey } from './admission.ts'
import type { SmtpRefusal } from './refusal.ts'

/** Distinct messages counted in a window. 10,000 of them ask for 100 instances with the default target of 100 each. */
const MAX_COUNTED = 10_000

/** What is known of the message, or of the connection, that was refused. */
export type RefusedMessage = {
  clientAddress: string
  /** Empty before MAIL. */
  reversePath: string
  /** As announced by SIZE; 0 when it was not. */
  sizeBytes: number
}

export type RefusedDemand = {
  /** Whether this refusal is one more message that another instance could have taken. */
  counts: (reason: SmtpRefusal['reason'], refused: RefusedMessage) => boolean
}

/**
 * Keeps the messages refused within `windowMs`.
 * A connection refused at the bound may bring a message or not. It counts once for each client, and no more of them
 * count than `transactions()` says are sending a message: a table full of silent sessions is no demand.
 * @param nowMs a clock that only goes forward
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
    // A map keeps the order of insertion: the oldest come first.
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
