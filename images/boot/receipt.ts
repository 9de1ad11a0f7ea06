// The receipt: the result of a boot test, bound to the image's digest and signed.
// Owns its schema. Fails with InputError for another image's receipt, and for one that was changed.
import { createHash, type KeyObject } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { checkInput, InputError, parseInput, readInput } from '../../input/problems.ts'
import { envelopeOf, isSignedBy, keyId } from '../formats/dsse.ts'
import { writeFileAtomic } from '../../platform/atomic-file.ts'
import { PUBLIC_VARIABLE } from './receipt-key.ts'

const digest = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'a SHA-256 in lower-case hexadecimal'))
const seconds = v.pipe(v.number(), v.minValue(0, 'seconds'))
const count = v.pipe(v.number(), v.integer('a whole number'), v.minValue(0, 'a whole number'))

/** What a boot test shows, in its order; a receipt names all of it. */
export const CHECKS = [
  'first-message',
  'starttls',
  '8-bit',
  '10-mebibytes',
  'load',
  'network-cut',
  'listening',
  'outgoing',
  'absences',
  'budget',
  'server-killed',
  'power-cut',
  'power-button',
  'altered-byte',
] as const

const Receipt = v.strictObject({
  version: v.literal(2, '2, by this version of the boot test; boot it again: npx mailfleet image test'),
  /** SHA-256 of disk.raw. */
  digest,
  createdAt: v.pipe(v.string(), v.isoTimestamp('a time as 2026-01-31T12:00:00.000Z')),
  accel: v.picklist(['kvm', 'tcg']),
  /** Whether the image was made of what the committed lock names. */
  locked: v.boolean(),
  /** Everything that was shown. There is no receipt with less. */
  checks: v.strictTuple(CHECKS.map((check) => v.literal(check, `"${check}", shown`))),
  /** From the start of QEMU, so firmware and all. */
  secondsToFirstForward: seconds,
  /** Moments of the same clock: the kernel, systemd, the server's process, and the server's word that it listens. */
  secondsToKernel: seconds,
  secondsToUserspace: seconds,
  secondsToServerStart: seconds,
  secondsToListening: v.optional(seconds),
  /** What the guest had read from the image when the first message arrived. */
  bytesRead: count,
  /** How many different 512 KiB blocks that were: on EC2 each is fetched from a snapshot once. */
  blocksRead: count,
  /** How many messages were forwarded, all as they were sent. */
  messages: count,
  /** A connection from inside the guest to a live listener outside failed. There is no receipt without it. */
  networkCut: v.literal(true),
  /** Whether the queue of the tested configuration would be lost with the instance. */
  volatileSpool: v.boolean(),
  /** TCP ports the guest listened on, and every listening socket as `udp 127.0.0.53:53`. */
  ports: v.array(count),
  listening: v.array(v.string()),
  /** Whom the guest spoke to of itself, as `tcp 10.0.2.100:2526`. */
  outgoing: v.array(v.string()),
  /** Programs of the processes that ran. */
  programs: v.array(v.string()),
  units: v.strictObject({ active: v.array(v.string()), failed: v.array(v.string()) }),
  /** The guest drained and turned itself off when the power button was pressed. There is no receipt without it. */
  cleanShutdown: v.literal(true),
  nodeVersion: v.string(),
  kernel: v.string(),
})

export type Receipt = v.InferOutput<typeof Receipt>

/** The signature of a receipt, beside it: a DSSE envelope over exactly the file's text. */
export const RECEIPT = 'receipt.json'
export const RECEIPT_SIGNATURE = 'receipt.dsse.json'

const RECEIPT_TYPE = 'application/vnd.mailfleet.receipt+json'
const TEST_AGAIN = 'boot it again: npx mailfleet image test'

const Envelope = v.object({
  payloadType: v.string(),
  payload: v.string(),
  signatures: v.array(v.object({ keyid: v.string(), sig: v.string() })),
})

/**
 * Reads the receipt of the image with this digest, whoever made it: to show it, not to trust it.
 * @throws {InputError} if there is none, it does not fit, or it is of other bytes.
 */
export function readReceipt(file: string, imageDigest: string): Receipt {
  return receiptOf(file, textOf(file), imageDigest)
}

/**
 * Reads the receipt of an image, signed by a trusted key. `receiptDigest`: SHA-256 of the file.
 * @throws {InputError} as {@link readReceipt}, or when no trusted key signed exactly this receipt
 */
export function readSignedReceipt(
  folder: string,
  imageDigest: string,
  trusted: readonly KeyObject[],
): { receipt: Receipt; receiptDigest: string } {
  const file = join(folder, RECEIPT)
  const text = textOf(file)
  const receipt = receiptOf(file, text, imageDigest)
  demandSignature(join(folder, RECEIPT_SIGNATURE), text, trusted)
  return { receipt, receiptDigest: createHash('sha256').update(text).digest('hex') }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const expected = 'the receipt of a boot test of this image: npx mailfleet image test'
    const found = code === 'ENOENT' ? 'none' : (code ?? String(cause))
    throw new InputError(file, [{ key: '', found, expected }], { cause })
  }
}

function receiptOf(file: string, text: string, imageDigest: string): Receipt {
  const receipt = checkInput(file, Receipt, parseInput(file, text))
  if (receipt.digest === imageDigest) return receipt
  throw new InputError(file, [
    { key: 'digest', found: receipt.digest, expected: `the digest of the image, ${imageDigest}` },
  ])
}

function demandSignature(file: string, text: string, trusted: readonly KeyObject[]): void {
  const refuse = (found: string, expected: string) => {
    throw new InputError(file, [{ key: '', found, expected }])
  }
  if (!existsSync(file)) return refuse('none', `the receipt's signature; ${TEST_AGAIN}`)
  const envelope = checkInput(file, Envelope, readInput(file))
  if (trusted.length === 0)
    refuse(
      'no key of yours',
      `a key to check it with: name one with --receipt-key or ${PUBLIC_VARIABLE}, or ${TEST_AGAIN}`,
    )
  if (trusted.some((key) => isSignedBy(envelope, text, { type: RECEIPT_TYPE, key }))) return
  const signed = envelope.signatures.map(({ keyid }) => keyid.slice(0, 12)).join(', ')
  const keys = trusted.map((key) => keyId(key).slice(0, 12)).join(' or ')
  const isEdited = Buffer.from(envelope.payload, 'base64').toString() !== text
  const found = isEdited ? 'one over another text' : `one by key ${signed === '' ? 'none' : signed}`
  refuse(found, `a signature over ${RECEIPT} by key ${keys}; ${TEST_AGAIN}`)
}

/** What an image may cost, from its spec: blocks of 512 KiB read until the first forwarded message, bytes of its disk. */
export type Budget = { maxBootBlocks: number; maxImageBytes: number }

/** Where an image is over its budget; empty when it is not, or there is none. */
export function budgetProblems(
  budget: Budget | undefined,
  { blocksRead, bytes }: { blocksRead: number; bytes: number },
): string[] {
  if (budget === undefined) return []
  const { maxBootBlocks, maxImageBytes } = budget
  const over = (what: string, found: number, allowed: number, key: string) =>
    found <= allowed
      ? []
      : [`${what}: ${found}, ${found - allowed} more than budget.${key} allows (${allowed})`]
  return [
    ...over('blocks read until the first forwarded message', blocksRead, maxBootBlocks, 'maxBootBlocks'),
    ...over('bytes of the disk', bytes, maxImageBytes, 'maxImageBytes'),
  ]
}

/**
 * Puts the receipt and its signature in place. Stopped between the two, the earlier receipt has no valid signature:
 * it is refused, and no receipt passes that was not signed.
 */
export function writeReceipt(folder: string, receipt: Receipt, key: KeyObject): void {
  const text = `${JSON.stringify(receipt, null, 2)}\n`
  const envelope = envelopeOf(text, { type: RECEIPT_TYPE, key })
  writeFileAtomic(join(folder, RECEIPT_SIGNATURE), `${JSON.stringify(envelope)}\n`)
  writeFileAtomic(join(folder, RECEIPT), text)
}
