// A bake from the shared cache: it is cached when nothing changed, its description is true, and its root can be extracted.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { buildImage, type BuiltImage } from '../../../images/bake/bake.ts'
import { hashFile } from '../../../images/cache.ts'
import { readLock, writeLock } from '../../../images/lock-file.ts'
import { readManifest } from '../../../images/describe/manifest.ts'
import { extractRoot } from '../../../images/bake/extract-root.ts'
import { runTool } from '../../../platform/sandbox.ts'
import { newestImage, project } from '../../kit/images/baked.ts'
import { debOf } from '../../kit/images/fake-locks.ts'

let image: BuiltImage
before(async () => {
  image = await newestImage()
})

test('the disk’s folder has the digest’s name, and latest points at it', async () => {
  assert.equal(await hashFile(image.disk, 'sha256'), image.digest)
  assert.equal(readlinkSync(join(project.imagesDir, 'latest')), image.digest)
})

test('a bake without a change uses the cache for every stage', async () => {
  const { specFile, lockFile, localLockFile: relockInto, cacheDir, serverEntry, imagesDir: outDir } = project
  const lines: string[] = []
  const again = await buildImage({
    specFile,
    lockFile,
    relockInto,
    cacheDir,
    serverEntry,
    outDir,
    onProgress: (line) => lines.push(line),
  })
  assert.equal(again.cached, true)
  assert.equal(again.digest, image.digest)
  if (again.locked) assert.deepEqual(lines, [])
})

test('the manifest matches the disk', async () => {
  const manifest = readManifest(image.folder)
  const lock = readLock(join(image.folder, 'image.lock.json'))
  assert.equal(manifest.digest, image.digest)
  assert.equal(manifest.locked, image.locked)
  assert.equal(manifest.node, lock.node.version)
  assert.equal(manifest.packages.length, lock.root.length + 1)
  const bundled = new Map(manifest.bundled.map(({ name, version }) => [name, version]))
  const { dependencies } = JSON.parse(readFileSync(project.packageLockFile.replace('-lock', ''), 'utf8')) as {
    dependencies: Record<string, string>
  }
  assert.equal(bundled.get('valibot'), dependencies['valibot'])
  assert.ok(bundled.has('smtp-server') && !bundled.has('lmdb'))
  assert.ok(manifest.kernel.commandLine.includes(`roothash=${manifest.rootHash}`))
  // Discoverable Partitions Specification: the root's and the verity partition's ids are the root hash's halves.
  const uuids = manifest.partitions.map(({ uuid }) => uuid.replaceAll('-', ''))
  assert.deepEqual(uuids.slice(1), [manifest.rootHash.slice(0, 32), manifest.rootHash.slice(32)])
  const sandbox = {
    tools: image.tools,
    sourceDateEpoch: lock.sourceDateEpoch,
    readOnly: { '/disk': image.disk },
  }
  const dump = await runTool(sandbox, ['fdisk', '--list', '/disk'])
  assert.match(dump, /EFI System[^]*Linux root \(x86-64\)[^]*Linux root verity \(x86-64\)/)
})

test('the extracted root runs the locked Node and the baked server, and has no account with a password', async () => {
  const root = await extractRoot(image, { cacheDir: project.cacheDir })
  const inside = (...argv: string[]) =>
    execFileSync(
      'bwrap',
      [
        '--die-with-parent',
        '--unshare-all',
        // An ordinary user reads a file of mode 0000, as /etc/shadow is, only so.
        '--uid',
        '0',
        '--gid',
        '0',
        '--cap-add',
        'CAP_DAC_OVERRIDE',
        '--ro-bind',
        root,
        '/',
        '--proc',
        '/proc',
        '--dev',
        '/dev',
        ...argv,
      ],
      { encoding: 'utf8' },
    )
  assert.equal(inside('/usr/lib/mailfleet/node', '--version'), `v${readManifest(image.folder).node}\n`)
  assert.match(inside('/usr/lib/mailfleet/node', '--check', '/usr/lib/mailfleet/server.mjs'), /^$/)
  const lmdb =
    "import('/usr/lib/mailfleet/node_modules/lmdb/node-index.js').then((m) => console.log(typeof m.open))"
  assert.equal(inside('/usr/lib/mailfleet/node', '--eval', lmdb), 'function\n')
  for (const path of [
    'usr/sbin/sshd',
    'usr/bin/apt-get',
    'usr/bin/dpkg',
    'usr/sbin/agetty',
    'etc/cloud',
    'root/.ssh',
  ]) {
    assert.equal(existsSync(join(root, path)), false, path)
  }
  const passwords = inside('/usr/bin/cat', '/etc/shadow')
    .trim()
    .split('\n')
    .map((line) => line.split(':')[1])
  assert.deepEqual(
    passwords.filter((password) => !/^[!*]/.test(password ?? '')),
    [],
  )
  assert.equal(execFileSync('find', [root, '-perm', '/6000', '-type', 'f'], { encoding: 'utf8' }), '')
  assert.equal(await extractRoot(image, { cacheDir: project.cacheDir }), root)
})

test('a damaged disk is written again', async () => {
  const outDir = mkdtempSync(join(tmpdir(), 'mailfleet-damaged-'))
  const { specFile, cacheDir, serverEntry } = project
  const lockFile = join(image.folder, 'image.lock.json')
  const build = { specFile, lockFile, cacheDir, serverEntry, outDir }
  const { disk } = await buildImage(build)
  writeFileSync(disk, 'x', { flag: 'r+' })
  await buildImage(build)
  assert.equal(await hashFile(disk, 'sha256'), image.digest)
  assert.deepEqual(readdirSync(outDir).sort(), [image.digest, 'latest'].sort())
})

test('with relockInto a locked package that is gone is replaced, and the differences are reported', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-relock-'))
  const lock = readLock(join(image.folder, 'image.lock.json'))
  const gone = debOf('zstd', '0.1-gone')
  const lockFile = join(folder, 'image.lock.json')
  writeLock(lockFile, { ...lock, tools: lock.tools.map((deb) => (deb.name === 'zstd' ? gone : deb)) })
  const { specFile, cacheDir, serverEntry } = project
  const build = { specFile, lockFile, cacheDir, serverEntry, outDir: join(folder, 'images') }
  await assert.rejects(buildImage(build), /1 locked package is gone[^]*zstd 0\.1-gone/)
  const relockInto = join(folder, 'local/image.lock.local.json')
  const relocked = await buildImage({ ...build, relockInto })
  assert.equal(relocked.locked, false)
  assert.equal(readManifest(relocked.folder).locked, false)
  assert.ok(relocked.relockDifferences.some((line) => line.startsWith('tools: zstd 0.1-gone → ')))
  assert.notEqual(readLock(relockInto).tools.find(({ name }) => name === 'zstd')?.version, '0.1-gone')
})
