// Types that the SMTP side, which enqueues, and the forwarder, which leases and settles, share.

/** The delivery state of one destination. Only a 'pending' destination gets further attempts. */
export type Destination = {
  /** The real mailbox that the alias forwards to. */
  address: string
  /** The alias that the sender wrote, for the DSN's Original-Recipient (RFC 3464 section 2.3.1). */
  originalRecipient: string
  state: 'pending' | 'delivered' | 'failed'
  /** The last remote reply or local reason, shortened. The DSN's Diagnostic-Code and the log show it. */
  reply: string
  /** Enhanced status code of `reply` (RFC 3463); '' before the first attempt. */
  status: string
  /** The host that gave `reply`; '' when no host was reached. */
  remoteHost: string
}

/** One accepted envelope. The queue stores its body separately. */
export type Entry = {
  /** Version of the stored format; see version.ts. */
  version: number
  id: string
  /** MAIL FROM as the sender gave it. '' is the null reverse path, which never gets a DSN (RFC 5321 section 4.5.5). */
  reversePath: string
  destinations: Destination[]
  /** Bytes of the stored body. */
  sizeBytes: number
  /** When the server replied 250 (ms since the epoch). */
  acceptedMs: number
  /** No lease before this time (ms since the epoch). */
  dueMs: number
  /** When the pending destinations fail with a DSN (ms since the epoch). */
  expiresMs: number
  /** Delivery attempts so far. */
  attempts: number
  /** The sender gave BODY=8BITMIME with MAIL FROM (RFC 6152). */
  eightBit: boolean
  /** The sender gave SMTPUTF8 with MAIL FROM (RFC 6531). */
  smtpUtf8: boolean
  /** A test message of an instance that starts. The instance that leases it settles it without delivery. */
  canary?: true
}

export type NewEntry = Omit<Entry, 'version' | 'id' | 'attempts'>

/** The right to work on an entry. The holder of an expired lease can change nothing. */
export type Lease = {
  entry: Entry
  token: string
  /** When the lease ends by the wall clock (ms since the epoch), which all processes read. */
  expiresMs: number
  /** When the lease ends by the holder's monotonic clock, which no step of the wall clock moves. */
  monotonicExpiresMs: number
}

/** What the whole shared queue holds. On AWS all counts are approximate and may lag by a minute. */
export type QueueStats = {
  /** Due now and not leased. An entry with an expired lease counts here. */
  ready: number
  /** Leased. */
  inFlight: number
  /** Due later. */
  deferred: number
  /** How long the longest-due ready entry has been due, in ms; 0 when none is ready, null when unknown. */
  oldestReadyMs: number | null
  /**
   * Entries of a version that this release does not know. They stay untouched and are in none of the three counts
   * above.
   */
  unknownVersion: number
  /** All entries: ready + inFlight + deferred + unknownVersion. */
  entries: number
  /** Stored bytes of bodies; null when unknown. */
  bytes: number | null
}
