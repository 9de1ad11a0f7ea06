// A killed bake leaves no process and no mount. The next bake removes its files from the cache.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { pruneCache } from '../../../images/bake/prune-cache.ts'
import { newestImage, project } from '../../kit/images/baked.ts'

test('SIGKILL during the installation of packages leaves no process and no mount', async () => {
  const { folder: image } = await newestImage()
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-killed-'))
  const cacheDir = join(folder, 'cache')
  cpSync(join(project.cacheDir, 'objects'), join(cacheDir, 'objects'), { recursive: true })
  const options = {
    specFile: project.specFile,
    serverEntry: project.serverEntry,
    lockFile: join(image, 'image.lock.json'),
    cacheDir,
    outDir: join(folder, 'images'),
  }
  const build = new URL('../../../images/bake/bake.ts', import.meta.url).href
  const script = `import { buildImage } from ${JSON.stringify(build)}
    await buildImage({ ...${JSON.stringify(options)}, onProgress: (line) => console.log(line) })`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    for await (const line of createInterface(child.stdout)) if (line.startsWith('installing')) break
    await until(() => processesThatName(cacheDir).some((command) => command.includes('dpkg')), 'dpkg runs')
    child.kill('SIGKILL')
    await once(child, 'close')
    await until(() => processesThatName(cacheDir).length === 0, 'no process is left')
    assert.doesNotMatch(readFileSync('/proc/mounts', 'utf8'), new RegExp(folder))
    assert.ok(readdirSync(join(cacheDir, 'tmp')).length > 0, 'killed while it worked')
    await pruneCache(cacheDir)
    assert.deepEqual(readdirSync(join(cacheDir, 'tmp')), [])
  } finally {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
})

/** Command lines of processes that name `path` in their arguments or environment. */
function processesThatName(path: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        return `${command}\0${readFileSync(`/proc/${pid}/environ`, 'utf8')}`.includes(path) ? [command] : []
      } catch {
        return [] // Ended meanwhile, or another user's.
      }
    })
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (condition()) return
    await sleep(100)
  }
  throw new Error(`not within a minute: ${what}`)
}
