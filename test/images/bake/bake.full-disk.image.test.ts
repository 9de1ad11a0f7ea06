// A bake onto disks that are too small: the error names the cause in two lines, and no image and no draft is left.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { newestImage, project } from '../../kit/images/baked.ts'
import { bakeOn, noSmallDisks } from '../../kit/images/small-disk.ts'

async function newBuild(t: TestContext) {
  const { folder: image } = await newestImage()
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-full-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const [cacheDir, outDir] = [join(folder, 'cache'), join(folder, 'images')]
  mkdirSync(cacheDir)
  mkdirSync(outDir)
  const { specFile, serverEntry } = project
  return { specFile, lockFile: join(image, 'image.lock.json'), serverEntry, cacheDir, outDir }
}

test('a cache that fills up during a stage', async (t) => {
  const unable = noSmallDisks()
  if (unable !== undefined) return t.skip(unable)
  const build = await newBuild(t)
  const prepare = `ln -s '${join(project.cacheDir, 'objects')}' objects`
  const { message, left } = await bakeOn({ at: build.cacheDir, options: 'size=24m', prepare }, build)
  assert.match(message, /^no space left on the disk: the cache, .*\n.*MAILFLEET_CACHE.*$/)
  assert.deepEqual(
    left.filter((path) => !path.startsWith('objects')),
    ['tmp'],
  )
})

test('an image folder that fills up while the disk image is written', async (t) => {
  const unable = noSmallDisks()
  if (unable !== undefined) return t.skip(unable)
  const build = { ...(await newBuild(t)), cacheDir: project.cacheDir }
  const { message, left } = await bakeOn({ at: build.outDir, options: 'size=16m' }, build)
  assert.match(message, /^no space left on the disk: the folder of images, .*images, has \d+ MB left\.\n/)
  assert.deepEqual(left, [])
})

test('an image folder on a read-only disk', async (t) => {
  const unable = noSmallDisks()
  if (unable !== undefined) return t.skip(unable)
  const build = { ...(await newBuild(t)), cacheDir: project.cacheDir }
  const { message, left } = await bakeOn({ at: build.outDir, options: 'ro' }, build)
  assert.match(message, /^the folder of images .*images cannot be written to \(EROFS\): /)
  assert.deepEqual(left, [])
})
