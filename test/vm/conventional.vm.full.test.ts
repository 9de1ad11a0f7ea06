// The conventional image boots and forwards mail, so the benchmark compares the golden image with a working one.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { chooseAccel, probeKvm } from '../../images/boot/qemu/acceleration.ts'
import { benchFolder, prepareBoots } from '../../images/bench/boot/bench.ts'
import { measureBoot } from '../../images/bench/boot/measure.ts'
import { startMirror } from '../../images/bench/boot/mirror.ts'
import { newestImage, project } from '../kit/images/baked.ts'

/** An emulated boot takes more than a minute on an idle machine. */
const TIMEOUT_MS = 900_000

test('the conventional image forwards a message, and asks no mirror for it', async (t) => {
  const { specFile, serverEntry, packageLockFile, cacheDir } = project
  const localLockFile = join(project.root, 'build/conventional.lock.local.json')
  const options = { specFile, serverEntry, packageLockFile, cacheDir, localLockFile, signal: t.signal }
  await using folder = benchFolder(cacheDir)
  const image = await newestImage()
  const onProgress = (line: string) => t.diagnostic(line)
  const { preinstalled, mirror: files } = await prepareBoots(image, folder.path, { ...options, onProgress })
  const mirror = await startMirror(files.whole)
  t.after(() => mirror.close())
  const workDir = join(cacheDir, 'boot')
  const accel = await chooseAccel('auto', () => probeKvm(workDir))
  const where = { accel, workDir, mirrorPort: mirror.port, timeoutMs: TIMEOUT_MS, signal: t.signal }
  const { blocksRead, bytesRead } = await measureBoot(preinstalled, where)
  assert.ok(blocksRead > 0 && bytesRead >= blocksRead * 512)
  assert.deepEqual(mirror.requests, [])
})
