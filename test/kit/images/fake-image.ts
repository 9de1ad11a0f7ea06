// An image of a few megabytes that no machine could boot, with its manifest and its receipt: enough to publish.
import { createHash, generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { manifestOf } from './fake-manifests.ts'
import { CHECKS, writeReceipt, type Receipt } from '../../../images/boot/receipt.ts'
import type { AwsLimits } from '../../../images/publish/aws/retry.ts'

export const BLOCK = 512 * 1024
/** Waits of a test: as many tries as the real one, without its pauses. */
export const SHORT_LIMITS: AwsLimits = {
  attempts: 11,
  firstPauseMs: 1,
  maxPauseMs: 4,
  appearMs: 60_000,
  pollMs: 10,
  settleMs: 60_000,
  sealedMs: 60_000,
}

export type MadeUpImage = { folder: string; disk: string; digest: string; bytes: Buffer; receipt: Receipt }

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
/** The key that signs fake receipts: for the code, and for a command's environment. */
export const RECEIPT_KEYS = [publicKey]
export const RECEIPT_ENV = {
  MAILFLEET_RECEIPT_PUBLIC_KEY: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
}
// For the commands that a test calls or starts.
Object.assign(process.env, RECEIPT_ENV)

const folders: string[] = []
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** Blocks 0, 1, 4 and 7 hold something; 2, 3, 5 and 6 are zero; 7 is the last and not whole. */
export const STORED = [0, 1, 4, 7]

/**
 * @param seed makes disks of different digests
 * @param change writes to the disk before its digest is taken
 */
export function madeUpImage(
  seed: string,
  overrides: Partial<Receipt> = {},
  change: (bytes: Buffer) => void = () => {},
): MadeUpImage {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-publish-'))
  folders.push(folder)
  const bytes = Buffer.alloc(7 * BLOCK + 4096)
  for (const index of STORED) bytes.write(`${seed} ${index}`, index * BLOCK)
  // One byte at the end of a block is enough for it to be stored.
  bytes[5 * BLOCK - 1] = 1
  change(bytes)
  const digest = createHash('sha256').update(bytes).digest('hex')
  const disk = join(folder, 'disk.raw')
  writeFileSync(disk, bytes)
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifestOf({ digest, lock: 'c'.repeat(64) })))
  const receipt = { ...RECEIPT, digest, ...overrides }
  writeReceipt(folder, receipt, privateKey)
  return { folder, disk, digest, bytes, receipt }
}

const RECEIPT: Omit<Receipt, 'digest'> = {
  version: 2,
  checks: [...CHECKS],
  createdAt: '2026-01-31T12:00:00.000Z',
  accel: 'tcg',
  locked: true,
  secondsToFirstForward: 28.1,
  secondsToKernel: 4.2,
  secondsToUserspace: 9,
  secondsToServerStart: 14,
  bytesRead: 64_000_000,
  blocksRead: 128,
  messages: 204,
  listening: ['tcp :::25'],
  outgoing: ['tcp 10.0.2.100:2526'],
  programs: ['/usr/lib/mailfleet/node'],
  networkCut: true,
  volatileSpool: false,
  ports: [25],
  units: { active: ['mailfleet.service'], failed: [] },
  cleanShutdown: true,
  nodeVersion: 'v26.10.0',
  kernel: '6.12.0',
}
