// Recognises the canary: a test message that an instance sends to itself before it reports ready.
// Only a connection from this host to itself may send it, with the latest nonce. For other clients its address is an
// ordinary address. Cannot fail.
import { randomBytes } from 'node:crypto'
import { parseAddress } from '../address.ts'
import type { NewEntry } from '../queue/entry.ts'
import type { SmtpRefusal } from './refusal.ts'

/** The two addresses of a connection. */
type Ends = { localAddress: string; remoteAddress: string }

export type CanaryGate = {
  /** Creates the address that the next canary is sent from and to. The previous address becomes invalid. */
  issue: () => string
  /** Whether `address` is the latest canary address and the client is this host. */
  admits: (address: string, ends: Ends) => boolean
}

/** 128 bits cannot be guessed. */
const NONCE_BYTES = 16

/** A canary left in the queue expires without a DSN; the next attempt sends a new one. */
const LIFETIME_MS = 3_600_000

export function createCanaryGate(hostname: string): CanaryGate {
  let local: string | null = null
  return {
    issue: () => {
      local = `canary+${randomBytes(NONCE_BYTES).toString('hex')}`
      return `${local}@${hostname}`
    },
    admits: (text, { localAddress, remoteAddress }) => {
      if (local === null || localAddress !== remoteAddress) return false
      const address = parseAddress(text)
      return address?.local === local && address.domain === hostname
    },
  }
}

/** A canary has no destinations: an older release sees an entry with nothing left to deliver. */
export function canaryEntry(sizeBytes: number, nowMs: number): NewEntry {
  return {
    reversePath: '',
    destinations: [],
    sizeBytes,
    acceptedMs: nowMs,
    dueMs: nowMs,
    expiresMs: nowMs + LIFETIME_MS,
    eightBit: false,
    smtpUtf8: false,
    canary: true,
  }
}

/** Changes the reason of a refused canary to 'canary'. No sender retries a canary, so it is not demand. */
export function canaryRefusal(refusal: SmtpRefusal): SmtpRefusal {
  return { ...refusal, reason: 'canary' }
}
