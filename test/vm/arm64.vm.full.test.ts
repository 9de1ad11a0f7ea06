// The image for 64-bit ARM must pass every check that the amd64 image passes.
// The bake emulates its programs, and the boot emulates its machine.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { bootTest } from '../../images/boot/boot-test.ts'
import { CHECKS } from '../../images/boot/receipt.ts'
import { buildImage } from '../../images/bake/bake.ts'
import { readManifest } from '../../images/describe/manifest.ts'
import { forArchitecture } from '../../scripts/project.ts'
import { project } from '../kit/images/baked.ts'

/** For each emulated boot on a busy machine. */
const TIMEOUT_MS = 900_000

test('the arm64 image is baked, boots and forwards mail', async (t) => {
  const arm64 = forArchitecture(project, 'arm64')
  const { specFile, lockFile, localLockFile: relockInto, cacheDir, serverEntry, imagesDir: outDir } = arm64
  const onProgress = (line: string) => t.diagnostic(line)
  const built = { specFile, lockFile, relockInto, cacheDir, serverEntry, outDir, onProgress }
  const image = await buildImage(built)
  const manifest = readManifest(image.folder)
  assert.equal(manifest.architecture, 'arm64')
  assert.ok(manifest.packages.every(({ architecture }) => ['arm64', 'all'].includes(architecture)))
  assert.equal(readManifest(join(outDir, arm64.latest)).digest, image.digest)
  const receiptKey = generateKeyPairSync('ed25519').privateKey
  const receipt = await bootTest(image, { receiptKey, cacheDir, timeoutMs: TIMEOUT_MS, onProgress })
  t.diagnostic(`forwarded after ${receipt.secondsToFirstForward} s, ${receipt.blocksRead} blocks read`)
  assert.match(receipt.kernel, /arm64/)
  assert.deepEqual(receipt.checks, [...CHECKS])
})
