// The Sender Rewriting Scheme: a reverse path at our own domain that SPF passes, and the way back for bounces.
// Owns: the format of these addresses, their signature and their age. Pure. An address that was not signed with one
// of our secrets, or is too old, reverses to null: nobody gets mail through here by making one up.
// Format after Shevek, "The Sender Rewriting Scheme" (2004): SRS0=HASH=TT=domain=local and SRS1=HASH=first-hop=rest.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { addressKey, parseAddress, type Address } from '../names.ts'

export type Srs = {
  domain: string
  /** The first signs; all are accepted, so that a new one can be put in front and the old one retired later. */
  secrets: readonly string[]
}

/** RFC 4648 section 6, lower case: survives mailers that change the case of a local part. */
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'

/** 16 x 5 = 80 bits: at 1,000 guesses a second, 2^79 / 1,000 s is 19 trillion years for an even chance. */
const HASH_CHARS = 16

const DAY_MS = 86_400_000

/** Two base32 characters: days modulo 1,024. */
const DAY_CYCLE = 32 * 32

/** 5 days in the next server's queue, twice over, and a weekend each: later bounces are of no use to anyone. */
const MAX_AGE_DAYS = 14

/** RFC 5321 section 4.5.3.1.1. */
const LOCAL_CHARS = 64

/** First label of the local part of an opaque reverse path, which leads nowhere. */
const OPAQUE = 'opaque'

/**
 * The reverse path to send with in place of `sender`.
 * The null reverse path stays null, and an address at our SRS domain stays as it is. A sender whose rewritten local
 * part would be longer than 64 octets gets an opaque one: it passes SPF like the others, but carries no way back.
 * @param nowMs ms since the epoch; the address can be reversed for {@link MAX_AGE_DAYS} days.
 */
export function rewriteSrs(srs: Srs, sender: string, nowMs: number): string {
  if (sender === '') return ''
  const address = parseAddress(sender)
  if (address === null || address.local.startsWith('"')) return opaque(srs, sender, nowMs)
  if (address.domain === srs.domain) return sender
  const local = rewrittenLocal(srs, address, nowMs)
  return Buffer.byteLength(local) > LOCAL_CHARS
    ? opaque(srs, addressKey(address), nowMs)
    : `${local}@${srs.domain}`
}

function rewrittenLocal(srs: Srs, { local, domain }: Address, nowMs: number): string {
  // Another forwarder's address: we answer for the first hop only, which knows the way from there.
  const first = /^srs0([=+-].+)$/i.exec(local)
  if (first) return `SRS1=${sign(srs.secrets[0]!, [domain, first[1]!])}=${domain}=${first[1]}`
  const later = /^srs1[=+-][^=]*=([^=]+)=([=+-].+)$/i.exec(local)
  if (later) return `SRS1=${sign(srs.secrets[0]!, [later[1]!, later[2]!])}=${later[1]}=${later[2]}`
  const day = dayCode(nowMs)
  return `SRS0=${sign(srs.secrets[0]!, [day, domain, local])}=${day}=${domain}=${local}`
}

function opaque(srs: Srs, sender: string, nowMs: number): string {
  return `${OPAQUE}=${sign(srs.secrets[0]!, [OPAQUE, dayCode(nowMs), sender])}@${srs.domain}`
}

/**
 * The sender that a local part at our SRS domain was made of; null unless we signed it, lately.
 * An SRS1 address leads to the SRS0 address at the first hop.
 */
export function reverseSrs(srs: Srs, local: string, nowMs: number): Address | null {
  const direct = /^srs0[=+-]([^=]+)=([a-z2-7]{2})=([^=]+)=(.+)$/i.exec(local)
  if (direct) {
    const [, hash, day, domain, sender] = direct as unknown as [string, string, string, string, string]
    if (!isSigned(srs, hash, [day, domain, sender]) || !isRecent(day, nowMs)) return null
    return parseAddress(`${sender}@${domain}`)
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

function isSigned(srs: Srs, hash: string, parts: readonly string[]): boolean {
  const given = Buffer.from(hash.toLowerCase())
  if (given.length !== HASH_CHARS) return false
  return srs.secrets.some((secret) => timingSafeEqual(given, Buffer.from(sign(secret, parts))))
}

function dayCode(nowMs: number): string {
  const day = Math.floor(nowMs / DAY_MS) % DAY_CYCLE
  return BASE32[day >> 5]! + BASE32[day & 31]!
}

/** Made at most {@link MAX_AGE_DAYS} ago; one day ahead is allowed for clocks that disagree. */
function isRecent(code: string, nowMs: number): boolean {
  const [high, low] = [...code.toLowerCase()].map((character) => BASE32.indexOf(character)) as [
    number,
    number,
  ]
  const age = (Math.floor(nowMs / DAY_MS) - (high * 32 + low) + DAY_CYCLE + 1) % DAY_CYCLE
  return age <= MAX_AGE_DAYS + 1
}
