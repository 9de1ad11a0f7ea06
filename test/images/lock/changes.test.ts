// The differences between two locks, as text and in bytes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytesChanged, diffLocks, lockChanges } from '../../../images/lock/changes.ts'
import { debOf, lockOf, npmOf } from '../../kit/images/fake-locks.ts'

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

test('a new kernel replaces the old one although its name differs', () => {
  const [old, next] = [debOf('linux-image-6.12.1', '6.12.1-1'), debOf('linux-image-6.12.2', '6.12.2-1')]
  assert.deepEqual(diffLocks(lockOf({ kernel: old }), lockOf({ kernel: next })), [
    'kernel: linux-image-6.12.1 6.12.1-1 → linux-image-6.12.2 6.12.2-1',
  ])
})

test('of two versions of one npm package only the changed one is reported', () => {
  const [one, two, three] = ['1.0.0', '2.0.0', '3.0.0'].map((version) => ({
    ...npmOf('ms', version),
    version,
  }))
  assert.ok(one && two && three)
  assert.deepEqual(diffLocks(lockOf({ native: [one, two] }), lockOf({ native: [two, three] })), [
    'native: ms 1.0.0 → 3.0.0',
  ])
})

test('bytes of a package that root and tools share count once', () => {
  const [old, next] = [debOf('libc6', '1'), debOf('libc6', '2', 'longer than before')]
  const [before, after] = [lockOf({ root: [old], tools: [old] }), lockOf({ root: [next], tools: [next] })]
  assert.deepEqual(bytesChanged(before, after), { addedBytes: 18, removedBytes: 7 })
  assert.equal(lockChanges(before, after).length, 2)
})

test('the tools of an image for another architecture are compared as well', () => {
  const [old, next] = [debOf('busybox-static', '1'), debOf('busybox-static', '2')]
  assert.deepEqual(diffLocks(lockOf({ target: [old] }), lockOf({ target: [next] })), [
    'target: busybox-static 1 → 2',
  ])
})
