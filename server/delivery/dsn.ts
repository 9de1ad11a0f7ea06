// Builds the delivery status notification for a sender whose message failed permanently. Owns: its text, its
// machine-readable part (RFC 3464), and how much of the original it returns. It names the alias that the sender wrote and
// never the mailbox behind it, which is private (RFC 3464 section 4.2).
import MimeNode from 'nodemailer/lib/mime-node'
import { headerLength, mailDate } from '../message.ts'
import type { Destination, Entry } from '../queue/entry.ts'

/** Most header bytes returned. A long header section with DKIM and ARC has about 15 KB. */
const RETURNED_HEADER_BYTES = 16_384

/** RFC 5322 section 2.1.1. */
const LINE_CHARS = 998

export type DsnInput = {
  entry: Entry
  /** The stored message. */
  body: Buffer
  /** The failed destinations, each with its reply. */
  failed: readonly Destination[]
  hostname: string
  nowMs: number
}

/** Builds the message, which is sent with the null reverse path. */
export async function buildDsn({ entry, body, failed, hostname, nowMs }: DsnInput): Promise<Buffer> {
  const root = new MimeNode('multipart/report; report-type=delivery-status', { baseBoundary: entry.id })
  root.setHeader({
    From: { name: 'Mail Delivery System', address: `mailer-daemon@${hostname}` },
    To: entry.reversePath,
    Subject: 'Undelivered Mail Returned to Sender',
    Date: mailDate(nowMs),
    'Message-ID': `<dsn-${entry.id}-${nowMs}@${hostname}>`,
    // RFC 3834 section 5: stops automatic replies such as vacation messages.
    'Auto-Submitted': 'auto-replied',
  })
  const original = messageId(body)
  if (original !== null) root.setHeader('References', original)
  root.createChild('text/plain; charset=utf-8').setContent(explanation(entry, failed, hostname))
  root.createChild('message/delivery-status').setContent(statusFields(entry, failed, hostname, nowMs))
  appendHeader(root, returnedHeader(body))
  return root.build()
}

function explanation(entry: Entry, failed: readonly Destination[], hostname: string): string {
  const lines = failed.map(
    (destination) => `  <${destination.originalRecipient}>: ${publicReply(destination)}`,
  )
  return [
    `This is the mail server ${hostname}.`,
    '',
    `Your message of ${mailDate(entry.acceptedMs)} could not be delivered to:`,
    '',
    ...lines,
    '',
    'No further attempt will be made. The header of your message is attached.',
    '',
  ].join('\r\n')
}

/** RFC 3464 section 2: fields of the message, then a block of fields for each recipient. */
function statusFields(entry: Entry, failed: readonly Destination[], hostname: string, nowMs: number): string {
  const perMessage = [`Reporting-MTA: dns; ${hostname}`, `Arrival-Date: ${mailDate(entry.acceptedMs)}`]
  const perRecipient = failed.map((destination) => [
    `Original-Recipient: rfc822; ${ascii(destination.originalRecipient)}`,
    `Final-Recipient: rfc822; ${ascii(destination.originalRecipient)}`,
    'Action: failed',
    `Status: ${permanent(destination.status)}`,
    `Diagnostic-Code: ${diagnosticType(destination)}; ${ascii(publicReply(destination))}`,
    `Last-Attempt-Date: ${mailDate(nowMs)}`,
  ])
  return [perMessage, ...perRecipient].map((block) => `${block.join('\r\n')}\r\n`).join('\r\n')
}

/**
 * Action "failed" needs a class 5 status. A destination that expired after 4yz replies keeps their detail (RFC 3463).
 */
function permanent(status: string): string {
  return /^[45]\.\d+\.\d+$/.test(status) ? `5${status.slice(1)}` : '5.0.0'
}

/** "smtp" marks a reply of a remote host (RFC 3464 section 2.3.6). */
function diagnosticType({ reply }: Destination): string {
  return /^[245]\d\d[ -]/.test(reply) ? 'smtp' : 'x-mailfleet'
}

/** Unencoded where possible: programs that search it for a Message-ID find none in encoded text. */
function appendHeader(root: MimeNode, header: Buffer): void {
  const text = header.toString('latin1')
  // eslint-disable-next-line no-control-regex
  if (/^[\x01-\x7f]*$/.test(text) && text.split('\r\n').every((line) => line.length <= LINE_CHARS))
    root.createChild().setRaw(`Content-Type: text/rfc822-headers\r\n\r\n${text}`)
  else root.createChild('text/rfc822-headers').setContent(header)
}

/** The Message-ID of the original. The sender's program files the notification with that message. */
function messageId(body: Buffer): string | null {
  const header = body.toString('latin1', 0, Math.min(headerLength(body), RETURNED_HEADER_BYTES))
  return /^Message-ID:(?:[ \t]|\r\n[ \t])*(<[\x21-\x7e]{1,250}>)[ \t]*\r\n/im.exec(header)?.[1] ?? null
}

/** A shorter local part often occurs in a reply as a common word, and reveals little. */
const TELLING_CHARS = 5

/** The reply with every mention of the mailbox replaced by the alias. */
function publicReply(destination: Destination): string {
  return hideHost(hideMailbox(destination), destination)
}

/** The mailbox's domain and host would reveal where it is. */
function hideHost(text: string, { address, originalRecipient, remoteHost }: Destination): string {
  const domain = address.slice(address.lastIndexOf('@') + 1)
  const own = originalRecipient.toLowerCase().endsWith(`@${domain.toLowerCase()}`)
  const names = [...(own ? [] : [domain]), ...(remoteHost === '' ? [] : [remoteHost])]
  if (names.length === 0) return text
  const escaped = names.map((name) => name.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&'))
  return text.replace(
    new RegExp(`(?<![\\w-])(?:[\\w-]+\\.)*(?:${escaped.join('|')})(?![\\w-])`, 'gi'),
    '(host)',
  )
}

function hideMailbox({ reply, address, originalRecipient }: Destination): string {
  const local = address.slice(0, address.lastIndexOf('@'))
  const names = local.length < TELLING_CHARS ? [address] : [address, local]
  const escaped = names.map((text) => text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&'))
  return reply.replace(
    new RegExp(`(?<![\\w.+-])(?:${escaped.join('|')})(?![\\w+-])`, 'gi'),
    // A function, because '$&' in a replacement string stands for the match.
    () => originalRecipient,
  )
}

function ascii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?')
}

/** The header section of the original, cut at the end of a line. */
function returnedHeader(body: Buffer): Buffer {
  const length = headerLength(body)
  if (length <= RETURNED_HEADER_BYTES) return body.subarray(0, length)
  const cut = body.lastIndexOf('\r\n', RETURNED_HEADER_BYTES - 2)
  return body.subarray(0, cut === -1 ? RETURNED_HEADER_BYTES : cut + 2)
}
