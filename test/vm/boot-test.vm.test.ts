// Runs the boot test on the real image and checks its receipt.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { test } from 'node:test'
import { bootTest } from '../../images/boot/boot-test.ts'
import { receiptSigningKey, trustedReceiptKeys } from '../../images/boot/receipt-key.ts'
import { CHECKS, readSignedReceipt } from '../../images/boot/receipt.ts'
import { folderFor } from '../kit/queue/embedded-harness.ts'
import { newestImage } from '../kit/images/baked.ts'

test('the image forwards mail with its network cut off, survives a power cut, drains, and altered refuses', async (t) => {
  const image = await newestImage()
  const cacheDir = folderFor(t)
  const receiptKey = receiptSigningKey(process.env)
  const receipt = await bootTest(image, { receiptKey, cacheDir, onProgress: (line) => t.diagnostic(line) })
  const { accel, secondsToFirstForward, bytesRead, blocksRead } = receipt
  t.diagnostic(
    `${accel}: forwarded after ${secondsToFirstForward} s, ${bytesRead} bytes, ${blocksRead} blocks read`,
  )

  assert.equal(receipt.networkCut, true)
  assert.equal(receipt.volatileSpool, false)
  assert.equal(receipt.cleanShutdown, true)
  assert.equal(receipt.locked, image.locked)
  assert.deepEqual(receipt.units.failed, [])
  assert.ok(receipt.units.active.includes('mailfleet.service'))
  assert.ok(receipt.units.active.includes('var-spool-mailfleet.mount'))
  assert.ok([25, 9025].every((port) => receipt.ports.includes(port)))
  assert.ok(receipt.bytesRead > 0 && receipt.bytesRead < image.bytes)
  assert.ok(receipt.blocksRead > 0)
  assert.deepEqual(receipt.checks, [...CHECKS])
  assert.ok(receipt.messages > 200)
  assert.ok(receipt.listening.some((socket) => socket.startsWith('tcp') && socket.endsWith(':25')))
  assert.ok(receipt.outgoing.includes('tcp 10.0.2.100:2526'))
  assert.ok(receipt.programs.includes('/usr/lib/mailfleet/node'))
  assert.ok(receipt.secondsToKernel < receipt.secondsToUserspace)
  assert.ok(receipt.secondsToUserspace < receipt.secondsToServerStart)
  assert.ok(receipt.secondsToServerStart < (receipt.secondsToListening ?? 0))
  assert.ok((receipt.secondsToListening ?? 0) < receipt.secondsToFirstForward)

  const signed = readSignedReceipt(image.folder, image.digest, trustedReceiptKeys(process.env))
  assert.deepEqual(signed.receipt, receipt)
  assert.deepEqual(readdirSync(join(cacheDir, 'boot')), [])
  const hash = createHash('sha256')
  await pipeline(createReadStream(image.disk), hash)
  assert.equal(hash.digest('hex'), image.digest, 'booting leaves the image as it was')
})
