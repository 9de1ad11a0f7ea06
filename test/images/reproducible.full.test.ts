// Bit for bit: two bakes of one lock that share nothing but the fetched files give the same disk.
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { buildImage } from '../../images/build.ts'
import { bakedImage, project } from './baked.ts'

test('an image baked from nothing is the image in the cache', async () => {
  const image = await bakedImage()
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-reproducible-'))
  try {
    cpSync(join(project.cacheDir, 'objects'), join(folder, 'cache/objects'), { recursive: true })
    const again = await buildImage({
      specFile: project.specFile,
      lockFile: join(image.folder, 'image.lock.json'),
      serverEntry: project.serverEntry,
      cacheDir: join(folder, 'cache'),
      outDir: join(folder, 'images'),
    })
    assert.equal(again.cached, false)
    assert.equal(again.digest, image.digest)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
