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

/** The checks of a boot test, in their order. A receipt names all of them. */
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
  /** Whether the image has exactly the packages of the committed lock. */
  locked: v.boolean(),
  /** All checks. There is no receipt with fewer. */
  checks: v.strictTuple(CHECKS.map((check) => v.literal(check, `"${check}", shown`))),
  /** From the start of QEMU, so with the firmware. */
  secondsToFirstForward: seconds,
  /** Times on the same clock: kernel, systemd, the server's process, and its log line `listening`. */
  secondsToKernel: seconds,
  secondsToUserspace: seconds,
  secondsToServerStart: seconds,
  secondsToListening: v.optional(seconds),
  /** The bytes that the guest had read from the image when the first message arrived. */
  bytesRead: count,
  /** The number of different 512 KiB blocks read. EC2 fetches each from the snapshot once. */
  blocksRead: count,
  /** The number of forwarded messages. All arrived unchanged. */
  messages: count,
  /** The guest could not connect to a live listener outside. There is no receipt without this. */
  networkCut: v.literal(true),
  /** Whether the queue of the tested configuration would be lost with the instance. */
  volatileSpool: v.boolean(),
  /** The TCP ports that the guest listened on, and every listening socket in the form `udp 127.0.0.53:53`. */
  ports: v.array(count),
  listening: v.array(v.string()),
  /** The destinations that the guest chose itself, in the form `tcp 10.0.2.100:2526`. */
  outgoing: v.array(v.string()),
  /** The programs of all running processes. */
  programs: v.array(v.string()),
  units: v.strictObject({ active: v.array(v.string()), failed: v.array(v.string()) }),
  /** The guest drained and turned itself off after the power button. There is no receipt without this. */
  cleanShutdown: v.literal(true),
  nodeVersion: v.string(),
  kernel: v.string(),
})

export type Receipt = v.InferOutput<typeof Receipt>

/** The file with the receipt's signature: a DSSE envelope over the exact text of the receipt. */
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
 * Reads the receipt of the image with this digest without a check of its signature: to show it, not to trust it.
 * @throws {InputError} if there is none, it does not fit, or it belongs to another image
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

/** The limits of an image, from its spec: 512 KiB blocks read until the first forwarded message, and disk bytes. */
export type Budget = { maxBootBlocks: number; maxImageBytes: number }

/** The limits that an image exceeds; empty when it exceeds none, or its spec has none. */
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
 * Writes the signature, then the receipt. After a stop between the two the earlier receipt has no valid signature and is
 * refused, so no unsigned receipt can pass.
 */
export function writeReceipt(folder: string, receipt: Receipt, key: KeyObject): void {
  const text = `${JSON.stringify(receipt, null, 2)}\n`
  const envelope = envelopeOf(text, { type: RECEIPT_TYPE, key })
  writeFileAtomic(join(folder, RECEIPT_SIGNATURE), `${JSON.stringify(envelope)}\n`)
  writeFileAtomic(join(folder, RECEIPT), text)
}
