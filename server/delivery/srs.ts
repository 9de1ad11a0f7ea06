// The Sender Rewriting Scheme: a reverse path at our own domain that passes SPF, and the way back for bounces. Pure. Owns:
// the format of these addresses, their signature and their age. An address without our signature, or too old, reverses to
// null, so that a forged address gets no mail through this server.
// Format after Shevek, "The Sender Rewriting Scheme" (2004): SRS0=HASH=TT=domain=local and SRS1=HASH=first-hop=rest.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { addressKey, formatAddress, parseAddress, type Address } from '../address.ts'

export type SrsConfig = {
  domain: string
  /** The first secret signs and all are accepted. To rotate, put a new one first and remove the old one later. */
  secrets: readonly string[]
}

/** RFC 4648 section 6, lower case: survives mailers that change the case of a local part. */
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'

/**
 * 8 x 5 = 40 bits. At 1,000 guesses a second, 2^39 / 1,000 s is 17 years for an even chance, for one sender's address.
 */
const HASH_CHARS = 8

const DAY_MS = 86_400_000

/** Two base32 characters: days modulo 1,024. */
const DAY_CYCLE = 32 * 32

/** 5 days in the next server's queue, twice, and a weekend for each. Later bounces are useless. */
const MAX_AGE_DAYS = 14

/** RFC 5321 section 4.5.3.1.1. */
const LOCAL_CHARS = 64

/** First label of the local part of an opaque reverse path, which cannot be reversed. */
const OPAQUE = 'opaque'

/**
 * The reverse path to send with in place of `sender`.
 * The null reverse path and addresses at our SRS domain stay unchanged. A rewritten local part above 64 octets becomes
 * an opaque one, which passes SPF but cannot be reversed.
 * @param nowMs ms since the epoch; the address can be reversed for {@link MAX_AGE_DAYS} days
 */
export function rewriteSrs(srs: SrsConfig, sender: string, nowMs: number): string {
  if (sender === '') return ''
  const address = parseAddress(sender)
  if (address === null) return opaque(srs, sender, nowMs)
  if (address.domain === srs.domain) return sender
  const local = rewrittenLocal(srs, address, nowMs)
  return Buffer.byteLength(local) > LOCAL_CHARS
    ? opaque(srs, addressKey(address), nowMs)
    : `${local}@${srs.domain}`
}

function rewrittenLocal(srs: SrsConfig, { local, domain }: Address, nowMs: number): string {
  // The address of another forwarder. We point only to the first forwarder, which knows the way back.
  const first = /^srs0([=+-].+)$/i.exec(local)
  if (first) return `SRS1=${sign(srs.secrets[0]!, [domain, first[1]!])}=${domain}=${first[1]}`
  const later = /^srs1[=+-][^=]*=([^=]+)=([=+-].+)$/i.exec(local)
  if (later) return `SRS1=${sign(srs.secrets[0]!, [later[1]!, later[2]!])}=${later[1]}=${later[2]}`
  const day = dayOf(nowMs)
  return `SRS0=${sign(srs.secrets[0]!, [`${day}`, domain, local])}=${dayCode(day)}=${encoded(domain)}=${encoded(local)}`
}

/** Encodes the characters that need quotes in a local part: each becomes its code in braces. Braces are encoded too. */
function encoded(text: string): string {
  return text.replace(
    /[^\w!#$%&'*+\-/=?^`|~.]|\.(?=\.|$)/g,
    (character) => `{${character.charCodeAt(0).toString(16).padStart(2, '0')}}`,
  )
}

function decoded(text: string): string {
  return text.replace(/\{([0-9a-f]{2})\}/gi, (_, code: string) => String.fromCharCode(parseInt(code, 16)))
}

/** The last part distinguishes senders without naming them. */
function opaque(srs: SrsConfig, sender: string, nowMs: number): string {
  const day = dayOf(nowMs)
  const id = sign(srs.secrets[0]!, ['id', sender])
  return `${OPAQUE}=${sign(srs.secrets[0]!, [OPAQUE, `${day}`, id])}=${dayCode(day)}=${id}@${srs.domain}`
}

/** Whether we made this local part at our SRS domain within its age limit, reversible or opaque. */
export function isOwnAddress(srs: SrsConfig, local: string, nowMs: number): boolean {
  const [, hash, code, id] = /^opaque=([^=]+)=([a-z2-7]{2})=([^=]+)$/i.exec(local) ?? []
  if (hash === undefined || code === undefined || id === undefined)
    return reverseSrs(srs, local, nowMs) !== null
  const day = dayOfCode(code, nowMs)
  return day !== null && isSigned(srs, hash, [OPAQUE, `${day}`, id])
}

/**
 * The sender behind a local part at our SRS domain; null unless we signed it and it is not too old. An SRS1 address
 * reverses to the SRS0 address at the first forwarder.
 */
export function reverseSrs(srs: SrsConfig, local: string, nowMs: number): Address | null {
  const direct = /^srs0[=+-]([^=]+)=([a-z2-7]{2})=([^=]+)=(.+)$/i.exec(local)
  if (direct) {
    const [, hash, code, domain, sender] = direct as unknown as [string, string, string, string, string]
    const day = dayOfCode(code, nowMs)
    if (day === null || !isSigned(srs, hash, [`${day}`, decoded(domain), decoded(sender)])) return null
    const local = decoded(sender)
    return parseAddress(formatAddress({ local, domain: decoded(domain) }))
  }
  const chained = /^srs1[=+-]([^=]+)=([^=]+)=([=+-].+)$/i.exec(local)
  if (chained) {
    const [, hash, domain, rest] = chained as unknown as [string, string, string, string]
    if (!isSigned(srs, hash, [domain, rest])) return null
    return parseAddress(`SRS0${rest}@${domain}`)
  }
  return null
}

function sign(secret: string, parts: readonly string[]): string {
  const digest = createHmac('sha256', secret).update(parts.join('\0').toLowerCase()).digest()
  let text = ''
  for (let index = 0; index < HASH_CHARS; index++) {
    // Five bits at a time, most significant first; two bytes always hold them.
    const bit = index * 5
    const pair = (digest[bit >> 3]! << 8) | digest[(bit >> 3) + 1]!
    text += BASE32[(pair >> (11 - (bit & 7))) & 31]
  }
  return text
}

function isSigned(srs: SrsConfig, hash: string, parts: readonly string[]): boolean {
  const given = Buffer.from(hash.toLowerCase())
  if (given.length !== HASH_CHARS) return false
  return srs.secrets.some((secret) => timingSafeEqual(given, Buffer.from(sign(secret, parts))))
}

/** Days since the epoch. */
function dayOf(nowMs: number): number {
  return Math.floor(nowMs / DAY_MS)
}

function dayCode(day: number): string {
  const code = day % DAY_CYCLE
  return BASE32[code >> 5]! + BASE32[code & 31]!
}

/**
 * The day of a code: at most {@link MAX_AGE_DAYS} ago, or one ahead, for clocks that differ; else null. The signature
 * covers the day and not its code, so no address is valid again when the codes repeat.
 */
function dayOfCode(code: string, nowMs: number): number | null {
  const [high = 0, low = 0] = [...code.toLowerCase()].map((character) => BASE32.indexOf(character))
  const latest = dayOf(nowMs) + 1
  const age = (latest - (high * 32 + low)) % DAY_CYCLE
  return age <= MAX_AGE_DAYS + 1 ? latest - age : null
}
