// What is written over a parent snapshot, without AWS: the blocks that differ, and zeroes where the disk has none.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ZERO_CHECKSUM } from '../../../../images/publish/snapshot/blocks.ts'
import { writesOver } from '../../../../images/publish/snapshot/delta.ts'

test('a block that only the parent has is written as zeroes', () => {
  const before = [
    { index: 0, checksum: 'same' },
    { index: 1, checksum: 'old' },
    { index: 2, checksum: 'gone' },
  ]
  const after = [
    { index: 0, checksum: 'same' },
    { index: 1, checksum: 'new' },
    { index: 3, checksum: 'added' },
  ]
  assert.deepEqual(writesOver(before, after), [
    { index: 1, checksum: 'new' },
    { index: 2, checksum: ZERO_CHECKSUM },
    { index: 3, checksum: 'added' },
  ])
})
