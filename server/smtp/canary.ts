// The canary: a test message that an instance sends to itself before it says that it is ready. Owns: telling it from
// mail. Only a connection of this host with itself may send one, and only with the nonce that was given out last; to
// everyone else its address is one like any other. Pure but for the random nonce.
import { randomBytes } from 'node:crypto'
import { parseAddress } from '../address.ts'
import type { NewEntry } from '../queue/entry.ts'
import type { SmtpRefusal } from './refusal.ts'

/** Both ends of a connection. */
type Ends = { localAddress: string; remoteAddress: string }

export type CanaryGate = {
  /** A new address to send from and to; the one before is worth nothing from now on. */
  issue: () => string
  /** Whether this is the address given out last, used by this host itself. */
  admits: (address: string, ends: Ends) => boolean
}

/** 128 bits: not to be guessed. */
const NONCE_BYTES = 16

/** Nobody is told of one that was not taken off the queue; the next attempt sends another. */
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

/** Without destinations: to a release that does not know canaries it is an entry with nothing left to deliver. */
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

/** A refused canary is no message that will come back: it must not count toward demand. */
export function canaryRefusal(refusal: SmtpRefusal): SmtpRefusal {
  return { ...refusal, reason: 'canary' }
}
