// The bytes of one message: normalises line endings, reads trace fields, writes our Received field.
// Owns: the detection of SMTP smuggling. Other messages are only prepended to, so that DKIM signatures stay valid.
// Never throws.
import { truncated } from './address.ts'

const CR = 0x0d
const LF = 0x0a
const DOT = 0x2e

const CRLF_BYTES = Buffer.from('\r\n')

/** Converts the line endings of one message to CRLF, chunk by chunk. */
export type Normaliser = {
  /** Returns the next bytes of DATA (dots already unstuffed) with every line ending as CRLF. */
  push: (chunk: Buffer) => Buffer
  /** Ends the message. A trailing CR becomes a line ending. */
  end: () => Buffer
  /**
   * Whether a bare CR or LF was next to a line of a single dot: an attempt to end DATA early (SMTP
   * smuggling).
   */
  smuggling: () => boolean
  /** Whether the message has a NUL octet that was not stripped. */
  nul: () => boolean
  /** Whether an octet was above 127, so that the message needs 8BITMIME. */
  eightBit: () => boolean
}

/** NUL octets are forbidden by RFC 5322 section 4: they are reported, or stripped. */
export type NulOctetPolicy = 'refuse' | 'strip'

const NUL = 0

/** Rewrites bare CR and bare LF to CRLF, since RFC 5321 section 2.3.8 forbids them. */
export function createNormaliser(nulOctets: NulOctetPolicy = 'refuse'): Normaliser {
  let nul = false
  let pendingCr = false
  let smuggling = false
  let highBits = 0
  // Of the current line: its length, whether it begins with a dot, and whether a bare CR or LF came before it.
  let lineBytes = 0
  let lineIsDot = false
  let lineBegunBare = false

  function endLine(bare: boolean): void {
    if (lineIsDot && lineBytes === 1 && (bare || lineBegunBare)) smuggling = true
    lineBytes = 0
    lineIsDot = false
    lineBegunBare = bare
  }

  function push(chunk: Buffer): Buffer {
    const pieces: Buffer[] = []
    let copied = 0
    for (let index = 0; index < chunk.length; index++) {
      const byte = chunk[index]!
      if (pendingCr) {
        pendingCr = false
        endLine(byte !== LF)
        if (byte === LF) continue
        pieces.push(chunk.subarray(copied, index), CRLF_BYTES.subarray(1))
        copied = index
      }
      if (byte === CR) {
        pendingCr = true
      } else if (byte === LF) {
        endLine(true)
        pieces.push(chunk.subarray(copied, index), CRLF_BYTES.subarray(0, 1))
        copied = index
      } else if (byte === NUL && nulOctets === 'strip') {
        pieces.push(chunk.subarray(copied, index))
        copied = index + 1
      } else {
        if (byte === NUL) nul = true
        if (lineBytes === 0) lineIsDot = byte === DOT
        lineBytes++
        highBits |= byte
      }
    }
    if (pieces.length === 0) return chunk
    pieces.push(chunk.subarray(copied))
    return Buffer.concat(pieces)
  }

  function end(): Buffer {
    if (!pendingCr) return Buffer.alloc(0)
    pendingCr = false
    endLine(true)
    return CRLF_BYTES.subarray(1)
  }

  return { push, end, smuggling: () => smuggling, nul: () => nul, eightBit: () => (highBits & 0x80) !== 0 }
}

/** The header fields that record which hosts and mailboxes a message has passed. */
export type TraceFields = {
  headerBytes: number
  /** Number of Received fields, one for each host passed (RFC 5321 section 6.3). */
  received: number
  /** Number of Received fields that name `hostname` as the receiver. */
  receivedHere: number
  /** Values of Delivered-To fields, in lower case: mailboxes and aliases that the message has passed. */
  deliveredTo: string[]
}

/** Most Delivered-To fields read. `limits.receivedHeaders` allows fewer hosts by default. */
const DELIVERED_TO_FIELDS = 100

/**
 * Reads the trace fields of a message on the server `hostname`.
 * Of a header section longer than `limitBytes` only the length is measured.
 */
export function readTrace(message: Buffer, hostname: string, limitBytes: number): TraceFields {
  const trace: TraceFields = {
    headerBytes: headerLength(message),
    received: 0,
    receivedHere: 0,
    deliveredTo: [],
  }
  if (trace.headerBytes > limitBytes) return trace
  const fields = message
    .toString('latin1', 0, trace.headerBytes)
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n')
  const by = new RegExp(`\\bby\\s+${hostname.replaceAll('.', '\\.')}(?![\\w.-])`, 'i')
  for (const field of fields) {
    const colon = field.indexOf(':')
    const name = field.slice(0, Math.max(colon, 0)).trim().toLowerCase()
    if (name === 'received') {
      trace.received++
      if (by.test(field)) trace.receivedHere++
    } else if (name === 'delivered-to' && trace.deliveredTo.length < DELIVERED_TO_FIELDS) {
      trace.deliveredTo.push(
        field
          .slice(colon + 1)
          .trim()
          .toLowerCase(),
      )
    }
  }
  return trace
}

/** Length of the header section with the CRLF of its last field; of the whole message without an empty line. */
export function headerLength(message: Buffer): number {
  if (message.length >= 2 && message[0] === CR && message[1] === LF) return 0
  const end = message.indexOf('\r\n\r\n')
  return end === -1 ? message.length : end + 2
}

export type ReceivedFieldValues = {
  helo: string
  clientAddress: string
  hostname: string
  /** RFC 3848: SMTP, ESMTP or ESMTPS. */
  protocol: string
  traceId: string
  /** The only recipient; null for several, since recipients must not learn of each other (RFC 5321 section 7.2). */
  recipient: string | null
  atMs: number
}

/** The Received field that this server adds (RFC 5321 section 4.4), with its line endings. */
export function receivedField(reception: ReceivedFieldValues): Buffer {
  const { helo, clientAddress, hostname, protocol, traceId, recipient, atMs } = reception
  const literal = clientAddress.includes(':') ? `[IPv6:${clientAddress}]` : `[${clientAddress}]`
  const name = truncated(helo.replace(/[^\w.:[\]-]/g, '?'), 255) || 'unknown'
  const lines = [
    `Received: from ${name} (${literal})`,
    `\tby ${hostname} with ${protocol} id ${traceId}`,
    ...(recipient === null ? [] : [`\tfor <${recipient}>`]),
  ]
  return Buffer.from(`${lines.join('\r\n')};\r\n\t${mailDate(atMs)}\r\n`)
}

/** A time in UTC, in the format of RFC 5322 section 3.3. */
export function mailDate(atMs: number): string {
  return new Date(atMs).toUTCString().replace('GMT', '+0000')
}
