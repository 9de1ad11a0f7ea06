// The words of the queue: what an entry holds, what a lease is, what the queue can say about itself.
// Owns: the types that both the SMTP side (which enqueues) and the forwarder (which leases and settles) use.

/** Where one destination of an envelope stands. Only 'pending' is still owed an attempt. */
export type Destination = {
  /** The real mailbox the alias forwards to. */
  address: string
  /** The alias that the sender wrote, for the DSN's Original-Recipient (RFC 3464 section 2.3.1). */
  originalRecipient: string
  state: 'pending' | 'delivered' | 'failed'
  /** The last remote reply or local reason, bounded; for the DSN's Diagnostic-Code and the log. */
  reply: string
  /** Enhanced status code of `reply` (RFC 3463), '' before the first attempt. */
  status: string
  /** The host that gave `reply`, '' when none was reached. */
  remoteHost: string
}

/** One accepted envelope. The body is stored beside it. */
export type Entry = {
  /** Of the stored format, see version.ts. */
  version: number
  id: string
  /** MAIL FROM as the sender gave it; '' is the null reverse path, to which no DSN is ever sent (RFC 5321 section 4.5.5). */
  reversePath: string
  destinations: Destination[]
  /** Bytes of the stored body. */
  sizeBytes: number
  /** When the 250 was given (ms since the epoch). */
  acceptedMs: number
  /** Not leased before this time (ms since the epoch). */
  dueMs: number
  /** When the envelope's pending destinations fail with a DSN (ms since the epoch). */
  expiresMs: number
  /** Delivery attempts made so far. */
  attempts: number
  /** MAIL FROM's BODY=8BITMIME was given (RFC 6152). */
  eightBit: boolean
  /** MAIL FROM's SMTPUTF8 was given (RFC 6531). */
  smtpUtf8: boolean
  /** A test message of an instance about to be ready: whoever leases it settles it, nobody delivers it. */
  canary?: true
}

export type NewEntry = Omit<Entry, 'version' | 'id' | 'attempts'>

/** The right to work on an entry. Whoever holds an expired lease can change nothing any more. */
export type Lease = {
  entry: Entry
  token: string
  /** When it ends by the wall clock (ms since the epoch), which all processes read. */
  expiresMs: number
  /** When it ends by the monotonic clock of the process that holds it: no step of the wall clock moves that. */
  monotonicExpiresMs: number
}

/** What the whole shared queue holds. On AWS all counts are approximate and may lag by a minute. */
export type QueueStats = {
  /** Due now, not leased (an expired lease counts as none). */
  ready: number
  /** Leased. */
  inFlight: number
  /** Due later. */
  deferred: number
  /** Age of the longest-due ready entry, in ms since it became due; 0 when none is ready, null if nobody can say. */
  oldestReadyMs: number | null
  /** Entries of a version this release does not know: queued, never touched, in none of the three counts above. */
  unknownVersion: number
  /** All of them: ready + inFlight + deferred + unknownVersion. */
  entries: number
  /** Stored bytes of bodies; null if nobody can say. */
  bytes: number | null
}
