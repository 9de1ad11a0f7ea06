// Makes the messages of a storm, and finds a message's id again at the sink.
// The text follows RFC 5322, with CRLF line ends. Lines of the body have at most 76 characters.
import { between, type Random } from '../platform/seeded-random.ts'
import { STORM_DOMAIN, STORM_ID_HEADER, type Scenario } from './scenario.ts'

export type StormMessage = { id: string; from: string; to: string; body: Buffer }

const WORDS = 'invoice meeting order newsletter photo reply ticket update welcome receipt draft notes'.split(
  ' ',
)

/** The id contains `serial`, so it is unique within the storm. */
export function stormMessage(
  serial: number,
  random: Random,
  { messageBytes }: Pick<Scenario, 'messageBytes'>,
): StormMessage {
  const id = `storm-${String(serial).padStart(6, '0')}`
  const from = `sender${serial % 97}@origin.example`
  const to = `alias${serial % 211}@${STORM_DOMAIN}`
  const header = [
    `Date: ${new Date().toUTCString().replace('GMT', '+0000')}`,
    `From: <${from}>`,
    `To: <${to}>`,
    `Message-ID: <${id}@origin.example>`,
    `${STORM_ID_HEADER}: ${id}`,
    `Subject: ${word(random)} ${serial}`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=us-ascii',
  ]
  const sizeBytes = between(random, messageBytes)
  let text = `${header.join('\r\n')}\r\n\r\n`
  while (text.length < sizeBytes) text += `${line(random)}\r\n`
  return { id, from, to, body: Buffer.from(text, 'latin1') }
}

/** Reads the id from the header; null for a message that the storm did not send. */
export function stormIdOf(message: Buffer): string | null {
  const endOfHeader = message.indexOf('\r\n\r\n')
  const header = message.toString('latin1', 0, endOfHeader < 0 ? message.length : endOfHeader)
  return new RegExp(`^${STORM_ID_HEADER}: *(\\S+)`, 'im').exec(header)?.[1] ?? null
}

function line(random: Random): string {
  let words = word(random)
  for (let next = word(random); words.length + 1 + next.length <= 76; next = word(random)) words += ` ${next}`
  return words
}

function word(random: Random): string {
  return WORDS[Math.floor(random() * WORDS.length)] ?? 'mail'
}
