// Errors of the machine: missing programs, a full disk, a read-only disk. The error names the cause in a sentence or two,
// and nothing half-written is left.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { buildImage } from '../../../images/bake/bake.ts'
import { readLock, writeLock } from '../../../images/lock-file.ts'
import { explainBakeError, requirePrograms, requireRunnable } from '../../../images/bake/preflight.ts'
import { debOf } from '../../kit/images/fake-locks.ts'
import { bakeOn, noSmallDisks } from '../../kit/images/small-disk.ts'

const root = join(import.meta.dirname, '../../..')
const committed = readLock(join(root, 'images/image.lock.json'))
const BIG = 'x'.repeat(4_000_000)

/** A mirror that has one package, of 4 MB. */
const server = createServer((_, response) => response.end(BIG))
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
after(() => server.close())
process.env['MAILFLEET_MIRROR'] = `http://127.0.0.1:${(server.address() as AddressInfo).port}/debian`

function newBuild() {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-trouble-'))
  const big = debOf('big', '1.0', BIG)
  const lockFile = join(folder, 'image.lock.json')
  writeLock(lockFile, { ...committed, root: [big], kernel: big, tools: [big] })
  const [cacheDir, outDir] = [join(folder, 'cache'), join(folder, 'images')]
  mkdirSync(cacheDir)
  mkdirSync(outDir)
  const serverEntry = join(root, 'server/main.ts')
  return { folder, specFile: join(root, 'images/image.yaml'), lockFile, cacheDir, outDir, serverEntry }
}

test('the error lists all missing programs and the packages that contain them', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-path-'))
  for (const program of ['dpkg-deb', 'setpriv', 'sync', 'tar', 'unshare'])
    symlinkSync('/bin/true', join(folder, program))
  writeFileSync(join(folder, 'bwrap'), 'not a program')
  assert.throws(() => requirePrograms(`/nonexistent:${folder}`, { systemPath: folder, isRoot: true }), {
    message:
      'the bake needs bwrap, mmdebstrap, not installed here or not on the PATH: apt-get install bubblewrap mmdebstrap',
  })
  assert.throws(
    () => requirePrograms(folder, { systemPath: folder, isRoot: false }),
    /bwrap, mmdebstrap, newuidmap, .*apt-get install bubblewrap mmdebstrap uidmap$/,
  )
})

test('the error names an architecture whose programs do not run, and the packages to install', async () => {
  await requireRunnable('amd64')
  await assert.rejects(
    requireRunnable('no-such-architecture'),
    /do not run on this machine: apt-get install arch-test/,
  )
})

test('a bake without its programs fails before it starts', async () => {
  const { PATH } = process.env
  process.env['PATH'] = '/nonexistent'
  try {
    await assert.rejects(buildImage(newBuild()), /the bake needs bwrap, dpkg-deb, /)
  } finally {
    process.env['PATH'] = PATH
  }
})

test('a cache below a file', async () => {
  const build = newBuild()
  writeFileSync(join(build.folder, 'file'), '')
  const cacheDir = join(build.folder, 'file/cache')
  await assert.rejects(buildImage({ ...build, cacheDir }), {
    message: `the cache ${cacheDir} cannot be written to (ENOTDIR): check its owner and mount, or name another cache with MAILFLEET_CACHE.`,
  })
})

test('a cache below /proc, where no folder can be made', async () => {
  const cacheDir = '/proc/mailfleet/cache'
  await assert.rejects(buildImage({ ...newBuild(), cacheDir }), {
    // Root gets ENOENT, another user EACCES.
    message:
      /^the cache \/proc\/mailfleet\/cache cannot be written to \((ENOENT|EACCES)\): .*MAILFLEET_CACHE\.$/,
  })
})

test('a cache on a read-only disk', async (t) => {
  const unable = noSmallDisks()
  if (unable !== undefined) return t.skip(unable)
  const build = newBuild()
  const { message, left } = await bakeOn({ at: build.cacheDir, options: 'ro' }, build)
  assert.match(message, /^the cache .* cannot be written to \(EROFS\): .*MAILFLEET_CACHE\.$/)
  assert.deepEqual(left, [])
})

test('a disk that fills up while packages are fetched', async (t) => {
  const unable = noSmallDisks()
  if (unable !== undefined) return t.skip(unable)
  const build = newBuild()
  const { message, left } = await bakeOn({ at: build.cacheDir, options: 'size=1m' }, build)
  assert.match(
    message,
    /^no space left on the disk: the cache, .*cache, has 1 MB left\.\n.*MAILFLEET_CACHE.*$/,
  )
  assert.deepEqual(left, ['tmp'])
})

test('an unreadable file of the cache is reported as unreadable', () => {
  const { cacheDir, outDir } = newBuild()
  const path = join(cacheDir, 'gshadow')
  const refused = Object.assign(new Error('EACCES'), { code: 'EACCES', syscall: 'open', path })
  const told = () => (explainBakeError(refused, { cacheDir, outDir }) as Error).message
  assert.match(told(), /^the cache .* cannot be written to \(EACCES\)/)
  writeFileSync(path, '')
  assert.equal(told(), `${path}, in the cache, cannot be read (EACCES): check its owner and mode.`)
})

test('other errors stay unchanged', () => {
  const folders = { cacheDir: '/var/cache/x', outDir: '/srv/images' }
  const other = Object.assign(new Error('EACCES'), { code: 'EACCES', path: '/etc/shadow' })
  assert.equal(explainBakeError(other, folders), other)
  const tool = new Error('mkfs.erofs failed: bad option')
  assert.equal(explainBakeError(tool, folders), tool)
})
