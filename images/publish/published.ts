// published.json beside an image's disk: one entry for each region that has the image.
// Owns its schema and its atomic write. Fails with InputError if it is invalid, or belongs to another image.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { checkInput, InputError, readInput } from '../../input/problems.ts'
import { writeFileAtomic } from '../../platform/atomic-file.ts'

const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'a SHA-256 in lower-case hexadecimal'))

const entry = {
  region: v.pipe(v.string(), v.nonEmpty('a region')),
  snapshotId: v.pipe(v.string(), v.regex(/^snap-[0-9a-f]+$/, 'a snapshot’s id')),
  imageId: v.pipe(v.string(), v.regex(/^ami-[0-9a-f]+$/, 'an AMI’s id')),
  publishedAt: v.pipe(v.string(), v.isoTimestamp('a time as 2026-01-31T12:00:00.000Z')),
}
const whole = {
  /** SHA-256 of disk.raw. */
  digest: sha256,
  /** SHA-256 of receipt.json as it was when the image was published last. */
  receipt: sha256,
}

const PublishedImage = v.strictObject({
  ...entry,
  /** The most thorough comparison of the snapshot with the disk so far. */
  verified: v.picklist(['all', 'sample', 'none']),
})

const Published = v.variant('format', [
  v.strictObject({ format: v.literal(2), ...whole, images: v.array(PublishedImage) }),
  // Format 1 did not say how each image was verified.
  v.strictObject({ format: v.literal(1), ...whole, images: v.array(v.strictObject(entry)) }),
])

export type PublishedImage = v.InferOutput<typeof PublishedImage>
export type Published = { format: 2; digest: string; receipt: string; images: PublishedImage[] }

/** Null when the image was never published. @throws {InputError} */
export function readPublished(folder: string, digest: string): Published | null {
  const file = join(folder, 'published.json')
  if (!existsSync(file)) return null
  const published = checkInput(file, Published, readInput(file))
  if (published.digest !== digest) {
    const expected = `the digest of the image, ${digest}`
    throw new InputError(file, [{ key: 'digest', found: published.digest, expected }])
  }
  if (published.format === 2) return published
  const images = published.images.map((image) => ({ ...image, verified: 'none' as const }))
  return { ...published, format: 2, images }
}

/** Adds the image in place of an earlier one of its region. It keeps the more thorough `verified` of the same AMI. */
export function recordPublished(
  folder: string,
  { digest, receipt, image }: { digest: string; receipt: string; image: PublishedImage },
): void {
  const all = readPublished(folder, digest)?.images ?? []
  const before = all.find(({ imageId }) => imageId === image.imageId)
  const verified = moreOf(image.verified, before?.verified ?? 'none')
  const others = all.filter(({ region }) => region !== image.region)
  // Copies end in any order. The file is sorted.
  const images = [...others, { ...image, verified }].sort((a, b) => a.region.localeCompare(b.region))
  const published: Published = { format: 2, digest, receipt, images }
  const file = join(folder, 'published.json')
  writeFileAtomic(file, `${JSON.stringify(published, null, 2)}\n`)
}

function moreOf(a: PublishedImage['verified'], b: PublishedImage['verified']): PublishedImage['verified'] {
  if (a === 'all' || b === 'all') return 'all'
  return a === 'sample' ? a : b
}
