// The receipt: what a boot test saw of the exact bytes of an image. Owns: its schema, and that it is bound to the
// image's digest: a receipt of other bytes is no receipt. Written in one step, so that half of one is never seen.
import { renameSync, writeFileSync } from 'node:fs'
import * as v from 'valibot'
import { checkInput, InputError, readInput } from '../../input/problems.ts'

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

/**
 * Reads the receipt of the image with this digest.
 * @throws {InputError} if there is none, it does not fit, or it is of other bytes.
 */
export function readReceipt(file: string, imageDigest: string): Receipt {
  const receipt = checkInput(file, Receipt, readInput(file))
  if (receipt.digest === imageDigest) return receipt
  throw new InputError(file, [
    { key: 'digest', found: receipt.digest, expected: `the digest of the image, ${imageDigest}` },
  ])
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

/** Puts the receipt in place, in one step. */
export function writeReceipt(file: string, receipt: Receipt): void {
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, `${JSON.stringify(receipt, null, 2)}\n`)
  renameSync(draft, file)
}
