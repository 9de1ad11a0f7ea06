// A receipt is valid only for the image bytes that were tested.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import {
  budgetProblems,
  CHECKS,
  readReceipt,
  readSignedReceipt,
  RECEIPT,
  writeReceipt,
  type Receipt,
} from '../../../images/boot/receipt.ts'
import { InputError } from '../../../input/problems.ts'

const folder = mkdtempSync(join(tmpdir(), 'mailfleet-receipt-'))
after(() => rmSync(folder, { recursive: true }))

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const digest = 'a'.repeat(64)
const receipt: Receipt = {
  version: 2,
  checks: [...CHECKS],
  digest,
  createdAt: '2026-01-31T12:00:00.000Z',
  accel: 'tcg',
  locked: true,
  secondsToFirstForward: 28.1,
  secondsToKernel: 4.2,
  secondsToUserspace: 9,
  secondsToServerStart: 14,
  secondsToListening: 20,
  bytesRead: 64_000_000,
  blocksRead: 180,
  networkCut: true,
  volatileSpool: false,
  ports: [25, 9025],
  listening: ['tcp 0.0.0.0:25', 'tcp 0.0.0.0:9025'],
  outgoing: ['tcp 10.0.2.100:2526'],
  programs: ['/usr/lib/mailfleet/node'],
  messages: 204,
  units: { active: ['mailfleet.service'], failed: [] },
  cleanShutdown: true,
  nodeVersion: 'v26.10.0',
  kernel: '6.12.0',
}

test('what is written is what is read, and nothing is left beside it', () => {
  const image = join(folder, 'written')
  mkdirSync(image)
  writeReceipt(image, { ...receipt, messages: 205 }, privateKey)
  writeReceipt(image, receipt, privateKey)
  assert.deepEqual(readReceipt(join(image, RECEIPT), digest), receipt)
  assert.deepEqual(readSignedReceipt(image, digest, [publicKey]).receipt, receipt)
  assert.deepEqual(readdirSync(image).sort(), ['receipt.dsse.json', 'receipt.json'])
})

test('a receipt for other bytes is refused', () => {
  writeReceipt(folder, receipt, privateKey)
  const file = join(folder, RECEIPT)
  assert.throws(() => readReceipt(file, 'b'.repeat(64)), /digest: expected the digest of the image/)
})

test('a receipt that does not fit is refused with everything that is wrong', () => {
  const file = join(folder, 'wrong.json')
  writeFileSync(file, JSON.stringify({ ...receipt, networkCut: false, bytesRead: -1, extra: 1 }))
  assert.throws(
    () => readReceipt(file, digest),
    (error) =>
      error instanceof InputError &&
      ['networkCut', 'bytesRead', 'extra'].every((key) => error.problems.some((p) => p.key === key)),
  )
  assert.throws(() => readReceipt(join(folder, 'missing.json'), digest), InputError)
})

test('a receipt of an earlier boot test, or of less than all, is refused with what to do', () => {
  const file = join(folder, 'earlier.json')
  writeFileSync(file, JSON.stringify({ ...receipt, version: 1 }))
  assert.throws(() => readReceipt(file, digest), /version: expected 2.*npx mailfleet image test, found 1/)
  writeFileSync(file, JSON.stringify({ ...receipt, checks: CHECKS.slice(0, -1) }))
  assert.throws(() => readReceipt(file, digest), /checks.*altered-byte/)
})

test('an image over its budget is told by how much, in everything at once', () => {
  const budget = { maxBootBlocks: 120, maxImageBytes: 1000 }
  assert.deepEqual(budgetProblems(budget, { blocksRead: 120, bytes: 1000 }), [])
  assert.deepEqual(budgetProblems(undefined, { blocksRead: 999, bytes: 999 }), [])
  assert.deepEqual(budgetProblems(budget, { blocksRead: 121, bytes: 1500 }), [
    'blocks read until the first forwarded message: 121, 1 more than budget.maxBootBlocks allows (120)',
    'bytes of the disk: 1500, 500 more than budget.maxImageBytes allows (1000)',
  ])
})
