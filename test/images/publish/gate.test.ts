// The gate before publishing: only bytes that a boot test saw, and no surprise in what it saw.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { passGate, surveyImage, type ReceiptGate } from '../../../images/publish/gate.ts'
import { InputError } from '../../../input/problems.ts'
import { madeUpImage, RECEIPT_KEYS, type MadeUpImage } from '../../kit/images/fake-image.ts'

const STRICT: ReceiptGate = { allowUnlocked: false, allowVolatile: false, receiptKeys: RECEIPT_KEYS }
const gate = async ({ folder }: MadeUpImage, exceptions = STRICT) =>
  passGate(await surveyImage(folder), exceptions)

async function refused(image: MadeUpImage, expected: RegExp, exceptions = STRICT): Promise<void> {
  await assert.rejects(gate(image, exceptions), (error: Error) => {
    assert.ok(error instanceof InputError)
    assert.match(error.message, expected)
    return true
  })
}

test('an image with the receipt of its bytes passes', async () => {
  const image = madeUpImage('passes')
  const { receipt, receiptDigest } = await gate(image)
  assert.deepEqual(receipt, image.receipt)
  assert.match(receiptDigest, /^[0-9a-f]{64}$/)
})

test('no receipt: the sentence says how to get one', async () => {
  const image = madeUpImage('none')
  rmSync(join(image.folder, 'receipt.json'))
  await refused(image, /receipt\.json: 1 problem\n.*npx mailfleet image test, found none$/)
})

test('a receipt that was edited by hand is refused', async () => {
  const image = madeUpImage('edited', { locked: false })
  const file = join(image.folder, 'receipt.json')
  writeFileSync(file, readFileSync(file, 'utf8').replace('"locked": false', '"locked": true'))
  await refused(image, /expected a signature over receipt\.json.*image test, found one over another text$/)
})

test('a receipt without a signature, of another image, or by a key that is not trusted, is refused', async () => {
  const [unsigned, other] = [madeUpImage('unsigned'), madeUpImage('other')]
  const signature = join(unsigned.folder, 'receipt.dsse.json')
  copyFileSync(join(other.folder, 'receipt.dsse.json'), signature)
  await refused(unsigned, /found one over another text$/)
  rmSync(signature)
  await refused(
    unsigned,
    /expected the receipt's signature; boot it again: npx mailfleet image test, found none$/,
  )
  const stranger = generateKeyPairSync('ed25519').publicKey
  await refused(other, /by key [0-9a-f]{12}; .*found one by key [0-9a-f]{12}$/, {
    ...STRICT,
    receiptKeys: [stranger],
  })
  await refused(other, /--receipt-key .*found no key of yours$/, { ...STRICT, receiptKeys: [] })
  await gate(other, { ...STRICT, receiptKeys: [stranger, ...RECEIPT_KEYS] })
})

test('a receipt of other bytes is none', async () => {
  await refused(madeUpImage('other', { digest: 'a'.repeat(64) }), /digest: expected the digest of the image/)
})

test('a disk that changed after it was baked is refused, whatever its receipt says', async () => {
  const image = madeUpImage('changed')
  writeFileSync(image.disk, Buffer.alloc(4096, 1))
  await refused(image, /disk\.raw: 1 problem\n {2}digest: expected the bytes of the manifest beside it/)
})

test('other packages than the lock’s, and a queue that is lost with its instance, need a word each', async () => {
  const image = madeUpImage('exceptions', { locked: false, volatileSpool: true })
  await refused(image, /2 problems\n {2}locked: .*--allow-unlocked.*\n {2}volatileSpool: .*--allow-volatile/)
  await refused(image, /1 problem\n {2}volatileSpool/, { ...STRICT, allowUnlocked: true })
  await refused(image, /1 problem\n {2}locked/, { ...STRICT, allowVolatile: true })
  const { receipt } = await gate(image, { ...STRICT, allowUnlocked: true, allowVolatile: true })
  assert.equal(receipt.locked, false)
})
