// A disk as blocks: which are kept, and the checksums that EBS compares.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { test } from 'node:test'
import {
  changedBlocks,
  linearChecksum,
  readBlock,
  surveyDisk,
  volumeGiB,
} from '../../../../images/publish/snapshot/blocks.ts'
import { BLOCK, madeUpImage, STORED } from '../../../kit/images/fake-image.ts'

const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest()

test('blocks that are all zero are left out, and a last one that is not whole is filled up', async () => {
  const { disk, bytes, digest } = madeUpImage('blocks')
  const survey = await surveyDisk(disk)
  assert.equal(survey.digest, digest)
  assert.equal(survey.bytes, bytes.length)
  const padded = Buffer.concat([bytes, Buffer.alloc(8 * BLOCK - bytes.length)])
  const sums = STORED.map((index) => sha256(padded.subarray(index * BLOCK, (index + 1) * BLOCK)))
  assert.deepEqual(
    survey.blocks,
    STORED.map((index, i) => ({ index, checksum: sums[i]!.toString('base64') })),
  )
  assert.equal(survey.checksum, sha256(Buffer.concat(sums)).toString('base64'))
  await using file = await open(disk)
  assert.ok((await readBlock(file, 7)).equals(padded.subarray(7 * BLOCK)))
})

test('the order of the blocks is part of the snapshot’s checksum', () => {
  const [a, b] = [
    { index: 0, checksum: 'AAAA' },
    { index: 1, checksum: 'BBBB' },
  ]
  assert.notEqual(linearChecksum([a, b]), linearChecksum([b, a]))
})

test('an empty disk and one of zeroes have no blocks', async () => {
  const { disk } = madeUpImage('empty')
  for (const bytes of [0, 1, 3 * BLOCK]) {
    writeFileSync(disk, Buffer.alloc(bytes))
    const survey = await surveyDisk(disk)
    assert.deepEqual([survey.bytes, survey.blocks], [bytes, []])
  }
})

test('a survey that is told to stop stops', async () => {
  const { disk } = madeUpImage('abort')
  await assert.rejects(surveyDisk(disk, AbortSignal.abort(new Error('told to stop'))), /told to stop/)
})

test('volumes are whole GiB', () => {
  const GIB = 1024 ** 3
  const sizes = [0, 1, GIB, GIB + 1, 3 * GIB]
  assert.deepEqual(sizes.map(volumeGiB), [1, 1, 1, 2, 3])
})

test('what differs between two disks: changed blocks, new ones, and those that became zero', () => {
  const block = (index: number, checksum: string) => ({ index, checksum })
  const before = [block(0, 'a'), block(2, 'b'), block(3, 'c')]
  const after = [block(0, 'a'), block(1, 'd'), block(3, 'e')]
  assert.deepEqual(changedBlocks(before, after), [1, 2, 3])
  assert.deepEqual(changedBlocks(after, after), [])
})
