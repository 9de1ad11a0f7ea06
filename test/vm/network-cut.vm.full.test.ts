// The network cut check can fail: a guest whose network is open reaches the same listener.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { bootTest } from '../../images/boot/boot-test.ts'
import { folderFor } from '../kit/queue/embedded-harness.ts'
import { newestImage } from '../kit/images/baked.ts'

test('with its network open, the guest reaches the listener, and gets no receipt', async (t) => {
  const { digest, disk, folder: baked } = await newestImage()
  const folder = folderFor(t)
  cpSync(join(baked, 'manifest.json'), join(folder, 'manifest.json'))
  const options = {
    cacheDir: folderFor(t),
    cutNetwork: false,
    receiptKey: generateKeyPairSync('ed25519').privateKey,
    onProgress: (line: string) => t.diagnostic(line),
  }
  await assert.rejects(
    bootTest({ digest, folder, disk }, options),
    /^Error: boot test failed: the guest reached a listener on the host, 10\.0\.2\.2:\d+: its network is not cut off/,
  )
  assert.ok(!existsSync(join(folder, 'receipt.json')))
})
