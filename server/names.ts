// Domains and mailbox addresses as text: what is one, and the form in which two of them compare equal.
// Owns: the syntax rules that config, routes, SMTP and delivery share. Never throws: what does not parse is null.
import { domainToASCII } from 'node:url'

/** RFC 1035 section 2.3.4: 255 octets on the wire are 253 characters of text. */
const DOMAIN_CHARS = 253

/** RFC 5321 section 4.5.3.1.3: a path is 256 octets with its two angle brackets. */
const ADDRESS_CHARS = 254

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/** Letters of any script, their marks, digits, and what ASCII names have: domainToASCII would decode or drop the rest. */
const DOMAIN_TEXT = /^[\p{L}\p{M}\p{N}._-]+$/u

// Control characters and the separators that could end an SMTP argument early.
// eslint-disable-next-line no-control-regex
const LOCAL_UNSAFE = /[\x00-\x20\x7f<>,;:\\"@[\]()]/

/** A mailbox: `local` as it was written, `domain` in ASCII (IDNA A-labels) and lower case. */
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
 * Splits `local@domain` at its last '@'. Null for anything else: no address literals, no source routes (RFC 5321
 * appendix F.2 lets a server ignore those), and of quoted local parts only those that need no quotes; they keep them.
 */
export function parseAddress(text: string): Address | null {
  const at = text.lastIndexOf('@')
  if (at < 1 || text.length > ADDRESS_CHARS) return null
  const local = text.slice(0, at)
  const domain = parseDomain(text.slice(at + 1))
  const unquoted = /^"(.+)"$/.exec(local)?.[1] ?? local
  return domain === null || LOCAL_UNSAFE.test(unquoted) ? null : { local, domain }
}

/** An address with its domain in comparable form, the local part untouched (RFC 5321 section 2.4). */
export function formatAddress({ local, domain }: Address): string {
  return `${local}@${domain}`
}

/** The key under which an address counts as the same mailbox: all lower case, as every large provider compares. */
export function addressKey(address: Address): string {
  return formatAddress(address).toLowerCase()
}

/** Text from outside cut to `chars` characters, control characters replaced, for logs and SMTP replies. */
export function bounded(text: string, chars: number): string {
  // eslint-disable-next-line no-control-regex
  const printable = text.replace(/[\x00-\x1f\x7f]+/g, ' ').trim()
  return printable.length > chars ? `${printable.slice(0, chars - 1)}…` : printable
}
