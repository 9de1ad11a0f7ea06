// Domains and mailbox addresses as text: what is one, and the form in which two of them compare equal.
// Owns: the syntax rules that config, routes, SMTP and delivery share. Never throws: what does not parse is null.
import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'

/** RFC 1035 section 2.3.4: 255 octets on the wire are 253 characters of text. */
const DOMAIN_CHARS = 253

/** RFC 5321 section 4.5.3.1.3: a path is 256 octets with its two angle brackets. */
const ADDRESS_CHARS = 254

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/** Letters of any script, their marks, digits, and what ASCII names have: domainToASCII would decode or drop the rest. */
const DOMAIN_TEXT = /^[\p{L}\p{M}\p{N}._-]+$/u

// Control characters and the separators that could end an SMTP argument early: none of them stands outside quotes.
// eslint-disable-next-line no-control-regex
const LOCAL_UNSAFE = /[\x00-\x20\x7f<>,;:\\"@[\]()]/

/** What a quoted local part may hold here: printable characters, but no angle brackets, which end an SMTP path. */
// eslint-disable-next-line no-control-regex
const QUOTED_UNSAFE = /[\x00-\x1f\x7f<>]/

/** RFC 5321 section 4.1.2: what needs no quotes. Characters beyond ASCII pass, as RFC 6531 has it. */
const DOT_STRING = /^[\w!#$%&'*+\-/=?^`{|}~\u0080-\uffff]+(?:\.[\w!#$%&'*+\-/=?^`{|}~\u0080-\uffff]+)*$/

/**
 * A mailbox: `local` as it was written but without quotes, `domain` in ASCII (IDNA A-labels) and lower case, or an
 * address literal in brackets.
 */
export type Address = { local: string; domain: string }

/** The ASCII, lower-case form of a domain name; null when it is none (an address literal is none). */
export function parseDomain(text: string): string | null {
  if (text.length > DOMAIN_CHARS || !DOMAIN_TEXT.test(text)) return null
  // Plain ASCII names are left to the label check: domainToASCII would rewrite '0x7f.1' into an IP address.
  const ascii = /^[\w.-]+$/.test(text) ? text.toLowerCase() : domainToASCII(text)
  const labels = ascii.split('.')
  if (ascii.length > DOMAIN_CHARS || !labels.every((label) => LABEL.test(label))) return null
  return /^\d+$/.test(labels.at(-1) ?? '') ? null : ascii
}

/** A name others can look up: a domain of at least two labels. */
export function isFullName(text: string): boolean {
  return text.includes('.') && parseDomain(text) !== null
}

/**
 * Splits `local@domain` at its last '@'. Takes what real mailers send: dots anywhere in the local part, quotes with or
 * without need, address literals. Null for anything else, source routes included.
 */
export function parseAddress(text: string): Address | null {
  const at = text.lastIndexOf('@')
  if (at < 1 || text.length > ADDRESS_CHARS) return null
  const local = parseLocal(text.slice(0, at))
  const domain = parseDomain(text.slice(at + 1)) ?? parseLiteral(text.slice(at + 1))
  return domain === null || local === null ? null : { local, domain }
}

function parseLocal(text: string): string | null {
  const quoted = /^"((?:[^"\\]|\\.)+)"$/.exec(text)?.[1]
  if (quoted === undefined) return LOCAL_UNSAFE.test(text) ? null : text
  const local = quoted.replace(/\\(.)/g, '$1')
  return QUOTED_UNSAFE.test(local) ? null : local
}

/** RFC 5321 section 4.1.3. */
function parseLiteral(text: string): string | null {
  const address = literalAddress(text)
  if (address === null) return null
  return isIP(address) === 6 ? `[IPv6:${address.toLowerCase()}]` : `[${address}]`
}

/** The IP address of an address literal, such as `[192.0.2.1]` or `[IPv6:2001:db8::1]`; null for a name. */
export function literalAddress(domain: string): string | null {
  const [, ipv6, address] = /^\[(IPv6:)?([\da-f:.]+)\]$/i.exec(domain) ?? []
  if (address === undefined) return null
  return isIP(address) === (ipv6 === undefined ? 4 : 6) ? address : null
}

/**
 * An address with its domain in comparable form (RFC 5321 section 2.4). A local part that is no dot-string is quoted:
 * what is sent is exact, whatever was accepted.
 */
export function formatAddress({ local, domain }: Address): string {
  return `${DOT_STRING.test(local) ? local : `"${local.replace(/["\\]/g, '\\$&')}"`}@${domain}`
}

/** The key under which an address counts as the same mailbox: all lower case, as every large provider compares. */
export function addressKey(address: Address): string {
  return formatAddress(address).toLowerCase()
}

/** Text from outside cut to `chars` characters, control characters replaced, for logs and SMTP replies. */
export function truncated(text: string, chars: number): string {
  // eslint-disable-next-line no-control-regex
  const printable = text.replace(/[\x00-\x1f\x7f]+/g, ' ').trim()
  return printable.length > chars ? `${printable.slice(0, chars - 1)}…` : printable
}
