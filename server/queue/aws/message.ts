// Packs an envelope as an SQS message. Pure. Owns: the message's text and attributes. The text never changes: a later
// attempt sends the same text with other attributes. So an entry keeps its version, and a release can pass on an unknown
// one. Throws on a text that is no entry.
import type { MessageAttributeValue } from '@aws-sdk/client-sqs'
import * as v from 'valibot'
import type { Entry } from '../entry.ts'
import { KNOWN_VERSIONS } from '../version.ts'

/** A message: its text, and attributes that can be read without understanding the text. */
export type SqsMessage = { text: string; attributes: Record<string, MessageAttributeValue> }

/** The decoded attributes. */
export type MessageAttributes = {
  version: number
  /** No lease before this time (ms since the epoch). */
  dueMs: number
  /** Attempts before this message was sent. At most one message of each generation is worked on. */
  generation: number
  /** The delivery state is in DynamoDB, or must be there before work starts. */
  tracked: boolean
}

/** SQS takes 1 MiB with attributes, if the queue allows it. Attributes take less than 1 KiB. */
const TEXT_BYTES = 1_048_576 - 1_024

/** Limit on a text with its body. Older queues and tools take 256 KiB. */
const INLINE_TEXT_BYTES = 262_144 - 1_024

const DestinationText = v.object({
  address: v.string(),
  originalRecipient: v.string(),
  state: v.picklist(['pending', 'delivered', 'failed']),
  reply: v.string(),
  status: v.string(),
  remoteHost: v.string(),
})

const EntryText = v.object({
  version: v.picklist(KNOWN_VERSIONS),
  id: v.string(),
  reversePath: v.string(),
  destinations: v.array(DestinationText),
  sizeBytes: v.number(),
  acceptedMs: v.number(),
  dueMs: v.number(),
  expiresMs: v.number(),
  attempts: v.number(),
  eightBit: v.boolean(),
  smtpUtf8: v.boolean(),
  canary: v.exactOptional(v.literal(true)),
})

const EntryMessage = v.object({ entry: EntryText, body: v.exactOptional(v.string()) })

export type PackedEntry = { message: SqsMessage; inline: boolean }

/**
 * Packs an entry. The body is included if it has at most `inlineBytes` and fits the message; `inline` says whether.
 * @throws {RangeError} if the entry alone is too large for SQS: several thousand destinations.
 */
export function pack(
  entry: Entry,
  body: Buffer,
  inlineBytes: number,
  always: { tracked: boolean },
): PackedEntry {
  const whole = body.length <= inlineBytes ? textOf({ entry, body: body.toString('base64') }) : ''
  const inline = whole !== '' && whole.length <= INLINE_TEXT_BYTES
  const text = inline ? whole : textOf({ entry })
  if (text.length > TEXT_BYTES)
    throw new RangeError(`an entry of ${text.length} bytes is more than a queue message takes: ${TEXT_BYTES}`)
  const { version, dueMs, attempts } = entry
  // A repeated delivery or a lost count costs more for these than the two writes of tracking.
  const tracked = always.tracked || !inline || entry.destinations.length > 1 || entry.canary === true
  return {
    message: { text, attributes: encodeAttributes({ version, dueMs, generation: attempts, tracked }) },
    inline,
  }
}

/** The entry as it was enqueued, with its present due time and attempts. `body` null: it is in the bucket. */
export function unpack(
  message: SqsMessage,
  { dueMs, generation }: MessageAttributes,
): { entry: Entry; body: Buffer | null } {
  const { entry, body } = v.parse(EntryMessage, JSON.parse(message.text))
  return {
    entry: { ...entry, dueMs, attempts: generation },
    body: body === undefined ? null : Buffer.from(body, 'base64'),
  }
}

/**
 * The decoded attributes; null if they are not an entry's. An unknown version needs no attribute except the version.
 */
export function decodeAttributes({ attributes }: SqsMessage): MessageAttributes | null {
  const number = (name: string) => {
    const value = Number(attributes[name]?.StringValue)
    return Number.isFinite(value) && value >= 0 ? value : null
  }
  const version = number('version')
  if (version === null) return null
  return {
    version,
    dueMs: number('dueMs') ?? 0,
    generation: number('generation') ?? 0,
    tracked: attributes['tracked'] !== undefined,
  }
}

/** The same envelope, one or more attempts later. */
export function laterCopy(
  message: SqsMessage,
  later: Pick<MessageAttributes, 'generation' | 'dueMs'>,
): SqsMessage {
  const { generation, dueMs } = encodeAttributes({ version: 0, tracked: true, ...later })
  return withAttributes(message, { generation, dueMs, tracked: text('1') })
}

/** The same message with one more attribute. */
export function withAttribute(message: SqsMessage, name: string, value: string): SqsMessage {
  return withAttributes(message, { [name]: text(value) })
}

function withAttributes(
  message: SqsMessage,
  more: Record<string, MessageAttributeValue | undefined>,
): SqsMessage {
  const given = Object.entries(more).filter(
    (pair): pair is [string, MessageAttributeValue] => pair[1] !== undefined,
  )
  return { ...message, attributes: { ...message.attributes, ...Object.fromEntries(given) } }
}

function encodeAttributes({
  version,
  dueMs,
  generation,
  tracked,
}: MessageAttributes): SqsMessage['attributes'] {
  return {
    version: number(version),
    dueMs: number(dueMs),
    generation: number(generation),
    ...(tracked ? { tracked: text('1') } : {}),
  }
}

const number = (value: number) => ({ DataType: 'Number', StringValue: String(value) })
const text = (value: string) => ({ DataType: 'String', StringValue: value })

/** JSON in ASCII, because SQS refuses some characters and counts bytes. */
function textOf(value: { entry: Entry; body?: string }): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
