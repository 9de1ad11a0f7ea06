// Real apt-get and npm, the programs of an instance, install from the mirror.
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { execa } from 'execa'
import { filesBelow } from '../../../../platform/files-below.ts'
import { startMirror, type Mirror } from '../../../../images/bench/boot/mirror.ts'
import { writeNodeRepository } from '../../../../images/bench/boot/node-package.ts'
import { runtimeTree, tarballName } from '../../../../images/bench/boot/runtime-tree.ts'
import { readSpec } from '../../../../images/spec.ts'
import { projectAt } from '../../../../scripts/project.ts'

const project = projectAt(join(import.meta.dirname, '../../../..'))

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-mirror-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

async function serve(t: TestContext, files: Record<string, string | Buffer>): Promise<Mirror> {
  const mirror = await startMirror(new Map(Object.entries(files)))
  t.after(() => mirror.close())
  return mirror
}

/** An npm tarball of one script. */
async function pack(folder: string, name: string, version: string): Promise<string> {
  const source = join(folder, `source-${name}`, 'package')
  mkdirSync(join(source, 'bin'), { recursive: true })
  writeFileSync(join(source, 'package.json'), JSON.stringify({ name, version }))
  writeFileSync(join(source, 'bin/npm-cli.js'), '')
  const file = join(folder, `${name}.tgz`)
  await execa('tar', ['-czf', file, '-C', join(source, '..'), 'package'])
  return file
}

/** Runs apt-get with an empty root, and with the mirror as its only source. */
async function installWith(folder: string, port: number) {
  for (const path of ['lists/partial', 'archives/partial', 'etc/sources.list.d', 'etc/preferences.d'])
    mkdirSync(join(folder, path), { recursive: true })
  writeFileSync(join(folder, 'status'), '')
  writeFileSync(join(folder, 'etc/sources.list'), `deb [trusted=yes] http://127.0.0.1:${port}/apt ./\n`)
  const options = {
    'Dir::State::status': join(folder, 'status'),
    'Dir::State::lists': join(folder, 'lists'),
    'Dir::Cache': folder,
    'Dir::Etc': join(folder, 'etc'),
    'APT::Sandbox::User': 'root',
    'APT::Architecture': 'amd64',
    'Acquire::http::Proxy': 'DIRECT',
    'Acquire::Languages': 'none',
  }
  const settings = Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`])
  const apt = async (...argv: string[]) => {
    const env = { LC_ALL: 'C.UTF-8' }
    const { exitCode, all } = await execa('apt-get', [...settings, ...argv], {
      all: true,
      reject: false,
      env,
    })
    return { exitCode, all }
  }
  const update = await apt('update')
  assert.equal(update.exitCode, 0, update.all)
  return apt('install', '--download-only', '--yes', 'nodejs')
}

test('apt installs the Node package, and not the broken one that replaces it', async (t) => {
  const folder = temporary(t)
  const node = join(folder, 'node')
  writeFileSync(node, '#!/bin/sh\n')
  chmodSync(node, 0o755)
  const npm = await pack(folder, 'npm', '1.0.0')
  const repositories = { whole: '', broken: 'libc6 (>= 99)' }
  const answers = []
  for (const [name, depends] of Object.entries(repositories)) {
    const repository = join(folder, name)
    mkdirSync(repository)
    await writeNodeRepository(repository, { version: '26.0.0-1', node, npm }, depends)
    assert.deepEqual(filesBelow(repository), ['Packages', 'Release', 'nodejs_26.0.0-1_amd64.deb'])
    const files = filesBelow(repository).map((path) => [`/apt/${path}`, join(repository, path)] as const)
    const mirror = await serve(t, Object.fromEntries(files))
    answers.push(await installWith(join(folder, `apt-${name}`), mirror.port))
    const fetched = mirror.requests.includes('/apt/nodejs_26.0.0-1_amd64.deb')
    assert.equal(fetched, name === 'whole', answers.at(-1)?.all ?? '')
  }
  const [whole, broken] = answers
  assert.equal(whole?.exitCode, 0, whole?.all ?? '')
  assert.equal(broken?.exitCode, 100)
  assert.match(broken.all, /Depends: libc6 \(>= 99\)/)
  const list = await execa('dpkg-deb', ['--contents', join(folder, 'whole/nodejs_26.0.0-1_amd64.deb')])
  assert.match(list.stdout, /-rwxr-xr-x root\/root .* \.\/usr\/bin\/node$/m)
  assert.match(list.stdout, /\.\/usr\/bin\/npm -> \.\.\/lib\/node_modules\/npm\/bin\/npm-cli\.js$/m)
})

test('npm ci installs from the mirror alone what the lock names', async (t) => {
  const folder = temporary(t)
  const tarball = await pack(folder, 'one', '1.2.3')
  const mirror = await serve(t, { '/npm/one-1.2.3.tgz': tarball })
  const address = `http://127.0.0.1:${mirror.port}/npm`
  const manifest = { name: 'app', version: '1.0.0', dependencies: { one: '1.2.3' } }
  const one = { version: '1.2.3', resolved: `${address}/one-1.2.3.tgz` }
  const packages = { '': manifest, 'node_modules/one': one }
  const app = join(folder, 'app')
  mkdirSync(app)
  writeFileSync(join(app, 'package.json'), JSON.stringify(manifest))
  const lock = { name: 'app', version: '1.0.0', lockfileVersion: 3, requires: true, packages }
  writeFileSync(join(app, 'package-lock.json'), JSON.stringify(lock))
  const flags = ['--no-audit', '--no-fund', `--registry=${address}/`, `--cache=${join(folder, 'cache')}`]
  const proxies = { http_proxy: '', https_proxy: '', npm_config_proxy: '', npm_config_https_proxy: '' }
  // npm also requests its own newest version once a week, and at once for a new user.
  const quiet = { npm_config_update_notifier: 'false' }
  await execa('npm', ['ci', ...flags], { cwd: app, env: { ...proxies, ...quiet } })
  assert.ok(existsSync(join(app, 'node_modules/one/package.json')))
  assert.deepEqual(mirror.requests, ['/npm/one-1.2.3.tgz'])
})

test('what it does not have is a 404; a content in memory is served as it is', async (t) => {
  const mirror = await serve(t, { '/here': Buffer.from('bytes') })
  const get = (path: string) => fetch(`http://127.0.0.1:${mirror.port}${path}`)
  assert.equal(await (await get('/here?x')).text(), 'bytes')
  assert.equal((await get('/gone')).status, 404)
  assert.equal((await get('/%zz')).status, 404)
  assert.deepEqual(mirror.requests, ['/here', '/gone', '/%zz'])
})

test("the runtime tree is what the server imports and that needs, at the mirror's addresses", async () => {
  const tree = await runtimeTree({
    spec: readSpec(project.specFile),
    serverEntry: project.serverEntry,
    packageLockFile: project.packageLockFile,
    tarballs: 'http://mirror.example/npm',
  })
  const { dependencies } = JSON.parse(tree.packageJson) as { dependencies: Record<string, string> }
  assert.ok(['lmdb', 'nodemailer', 'smtp-server'].every((name) => name in dependencies))
  assert.ok(!('esbuild' in dependencies))
  assert.equal(tree.server[0]?.name, 'server.mjs')
  const { packages } = JSON.parse(tree.packageLock) as { packages: Record<string, { resolved?: string }> }
  const addresses = new Set(Object.values(packages).map(({ resolved }) => resolved))
  for (const item of tree.packages)
    assert.ok(addresses.has(`http://mirror.example/npm/${tarballName(item)}`), item.name)
  const lock = JSON.parse(readFileSync(project.packageLockFile, 'utf8')) as { packages: object }
  assert.ok(Object.keys(packages).every((path) => path === '' || path in lock.packages))
})
