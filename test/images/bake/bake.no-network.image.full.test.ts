// A bake from an archive, and then from a full cache, in a network namespace without a network, not even loopback.
// The digest is the image's.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openArchive } from '../../../images/archive/archive.ts'
import { pullLocked, pushLocked } from '../../../images/archive/transfer.ts'
import { readLock } from '../../../images/lock-file.ts'
import { newestImage, project } from '../../kit/images/baked.ts'

const build = join(import.meta.dirname, '../../../images/bake/bake.ts')
const NAMESPACE = ['--net', ...(process.getuid?.() === 0 ? [] : ['--map-current-user'])]

test('files pushed to an archive and pulled from it bake without a network to the same digest', async (t) => {
  const image = await newestImage()
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-no-network-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const lockFile = join(image.folder, 'image.lock.json')
  const lock = readLock(lockFile)
  const archive = await openArchive(join(folder, 'archive'))
  const [cacheDir, outDir] = [join(folder, 'cache'), join(folder, 'images')]
  const quiet = { dryRun: false, onProgress: () => {} }
  await pushLocked(lock, archive, { ...quiet, cacheDir: project.cacheDir })
  await pullLocked(lock, archive, { ...quiet, cacheDir })

  const { specFile, serverEntry } = project
  const options = { specFile, lockFile, cacheDir, outDir, serverEntry }
  const script = `const { buildImage } = await import(${JSON.stringify(build)})
    const lines = []
    const { digest } = await buildImage({ ...${JSON.stringify(options)}, onProgress: (line) => lines.push(line) })
    console.log(JSON.stringify({ digest, lines }))`
  const node = [process.execPath, '--input-type=module', '--eval', script]
  // The archive and the mirror named here are unreachable, and are not asked.
  const env = {
    ...process.env,
    MAILFLEET_MIRROR: 'http://127.0.0.1:1/debian',
    MAILFLEET_ARCHIVE: 'http://127.0.0.1:1/archive',
    http_proxy: 'http://127.0.0.1:1',
    MAILFLEET_SNAPSHOT: 'http://127.0.0.1:1',
  }
  const { stdout, stderr } = spawnSync('unshare', [...NAMESPACE, '--', ...node], { encoding: 'utf8', env })
  assert.notEqual(stdout, '', stderr)
  const { digest, lines } = JSON.parse(stdout) as { digest: string; lines: string[] }
  assert.equal(digest, image.digest)
  assert.deepEqual(
    lines.filter((line) => line.startsWith('fetching')),
    [],
  )
})
