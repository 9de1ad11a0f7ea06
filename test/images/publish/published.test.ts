// published.json: one entry a region, whole or not at all, of this image only.
import assert from 'node:assert/strict'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readPublished, recordPublished } from '../../../images/publish/published.ts'
import { madeUpImage } from '../../kit/images/fake-image.ts'

const receipt = 'd'.repeat(64)
const entry = (region: string, number: number) => ({
  region,
  snapshotId: `snap-${number}`,
  imageId: `ami-${number}`,
  verified: 'sample' as const,
  publishedAt: '2026-01-31T12:00:00.000Z',
})

test('an image is added to those of other regions, and replaces its own region’s', () => {
  const { folder, digest } = madeUpImage('regions')
  assert.equal(readPublished(folder, digest), null)
  for (const image of [entry('eu-west-1', 1), entry('us-east-1', 2), entry('eu-west-1', 3)])
    recordPublished(folder, { digest, receipt, image })
  assert.deepEqual(readPublished(folder, digest), {
    format: 2,
    digest,
    receipt,
    images: [entry('eu-west-1', 3), entry('us-east-1', 2)],
  })
  const files = ['disk.raw', 'manifest.json', 'published.json', 'receipt.dsse.json', 'receipt.json']
  assert.deepEqual(readdirSync(folder).sort(), files)
})

test('what was once compared stays compared, and what format 1 does not say was not', () => {
  const { folder, digest } = madeUpImage('verified')
  const format1 = [{ ...entry('eu-west-1', 1), verified: undefined }]
  writeFileSync(
    join(folder, 'published.json'),
    JSON.stringify({ format: 1, digest, receipt, images: format1 }),
  )
  const verified = () => readPublished(folder, digest)?.images.map((image) => image.verified)
  assert.deepEqual(verified(), ['none'])
  for (const [wish, known] of [
    ['sample', 'sample'],
    ['none', 'sample'],
    ['all', 'all'],
    ['sample', 'all'],
  ] as const) {
    recordPublished(folder, { digest, receipt, image: { ...entry('eu-west-1', 1), verified: wish } })
    assert.deepEqual(verified(), [known])
  }
  recordPublished(folder, { digest, receipt, image: { ...entry('eu-west-1', 2), verified: 'none' } })
  assert.deepEqual(verified(), ['none'])
})

test('of another image, or not as it should be: refused with everything that is wrong', () => {
  const { folder, digest } = madeUpImage('refused')
  recordPublished(folder, { digest, receipt, image: entry('eu-west-1', 1) })
  assert.throws(() => readPublished(folder, 'e'.repeat(64)), /digest: expected the digest of the image/)
  const wrong = { format: 2, digest, receipt, images: [{ ...entry('', 1), imageId: 'snap-1' }] }
  writeFileSync(join(folder, 'published.json'), JSON.stringify(wrong))
  assert.throws(
    () => readPublished(folder, digest),
    /2 problems\n {2}images\.0\.region: .*\n {2}images\.0\.imageId/,
  )
})
