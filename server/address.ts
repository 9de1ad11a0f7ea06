// Parses and formats domain names and mailbox addresses. Owns: the syntax rules that config, routes, SMTP and delivery
// share. Never throws: text that does not parse gives null.
import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'

/** RFC 1035 section 2.3.4: 255 octets on the wire are 253 characters of text. */
const DOMAIN_CHARS = 253

/** RFC 5321 section 4.5.3.1.3: a path is 256 octets with its two angle brackets. */
const ADDRESS_CHARS = 254

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/** Letters and marks of any script, digits, dot, hyphen, underscore. domainToASCII would decode or drop all others. */
const DOMAIN_TEXT = /^[\p{L}\p{M}\p{N}._-]+$/u

// Control characters, and separators that could end an SMTP argument early. An unquoted local part has none of them.
// eslint-disable-next-line no-control-regex
const LOCAL_UNSAFE = /[\x00-\x20\x7f<>,;:\\"@[\]()]/

/** Not allowed in a quoted local part: control characters, and angle brackets, which end an SMTP path. */
// eslint-disable-next-line no-control-regex
const QUOTED_UNSAFE = /[\x00-\x1f\x7f<>]/

/** RFC 5321 section 4.1.2: a local part that needs no quotes. Non-ASCII characters pass (RFC 6531). */
const DOT_STRING = /^[\w!#$%&'*+\-/=?^`{|}~\u0080-\uffff]+(?:\.[\w!#$%&'*+\-/=?^`{|}~\u0080-\uffff]+)*$/

/**
 * A mailbox. `local` is as written, without quotes. `domain` is in lower-case ASCII (IDNA A-labels), or is an address
 * literal in brackets.
 */
export type Address = { local: string; domain: string }

/** @returns the domain name in lower-case ASCII; null for other text, address literals included. */
export function parseDomain(text: string): string | null {
  if (text.length > DOMAIN_CHARS || !DOMAIN_TEXT.test(text)) return null
  // The label check handles plain ASCII names. domainToASCII would rewrite '0x7f.1' into an IP address.
  const ascii = /^[\w.-]+$/.test(text) ? text.toLowerCase() : domainToASCII(text)
  const labels = ascii.split('.')
  if (ascii.length > DOMAIN_CHARS || !labels.every((label) => LABEL.test(label))) return null
  return /^\d+$/.test(labels.at(-1) ?? '') ? null : ascii
}

/** Whether `text` is a domain name with at least two labels. */
export function isFullName(text: string): boolean {
  return text.includes('.') && parseDomain(text) !== null
}

/**
 * Splits `local@domain` at its last '@'. Accepts what real mailers send: dots anywhere in the local part, unneeded
 * quotes, address literals. Returns null for anything else, source routes included.
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
 * The address as text, its domain in comparable form (RFC 5321 section 2.4). A local part that is no dot-string is
 * quoted, so that the server sends only valid addresses.
 */
export function formatAddress({ local, domain }: Address): string {
  return `${DOT_STRING.test(local) ? local : `"${local.replace(/["\\]/g, '\\$&')}"`}@${domain}`
}

/** A key that is equal for equal mailboxes: the address in lower case, as every large provider compares it. */
export function addressKey(address: Address): string {
  return formatAddress(address).toLowerCase()
}

/** External text for logs and SMTP replies: at most `chars` characters, control characters replaced by spaces. */
export function truncated(text: string, chars: number): string {
  // eslint-disable-next-line no-control-regex
  const printable = text.replace(/[\x00-\x1f\x7f]+/g, ' ').trim()
  return printable.length > chars ? `${printable.slice(0, chars - 1)}…` : printable
}
