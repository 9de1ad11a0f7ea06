// published.json beside an image's disk: where the image was published, one entry a region. Owns: its schema, and that
// it is replaced in one step. Fails with InputError when it does not fit, or is of another image.
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { checkInput, InputError, readInput } from '../../input/problems.ts'

const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'a SHA-256 in lower-case hexadecimal'))

const PublishedImage = v.strictObject({
  region: v.pipe(v.string(), v.nonEmpty('a region')),
  snapshotId: v.pipe(v.string(), v.regex(/^snap-[0-9a-f]+$/, 'a snapshot’s id')),
  imageId: v.pipe(v.string(), v.regex(/^ami-[0-9a-f]+$/, 'an AMI’s id')),
  publishedAt: v.pipe(v.string(), v.isoTimestamp('a time as 2026-01-31T12:00:00.000Z')),
})

const Published = v.strictObject({
  format: v.literal(1),
  /** SHA-256 of disk.raw. */
  digest: sha256,
  /** SHA-256 of receipt.json as it was when the image was published last. */
  receipt: sha256,
  images: v.array(PublishedImage),
})

export type PublishedImage = v.InferOutput<typeof PublishedImage>
export type Published = v.InferOutput<typeof Published>

/** Null when the image was never published. @throws {InputError} */
export function readPublished(folder: string, digest: string): Published | null {
  const file = join(folder, 'published.json')
  if (!existsSync(file)) return null
  const published = checkInput(file, Published, readInput(file))
  if (published.digest === digest) return published
  const expected = `the digest of the image, ${digest}`
  throw new InputError(file, [{ key: 'digest', found: published.digest, expected }])
}

/** Adds the image, in place of an earlier one of the same region. */
export function recordPublished(
  folder: string,
  { digest, receipt, image }: { digest: string; receipt: string; image: PublishedImage },
): void {
  const others = (readPublished(folder, digest)?.images ?? []).filter(({ region }) => region !== image.region)
  const published: Published = { format: 1, digest, receipt, images: [...others, image] }
  const file = join(folder, 'published.json')
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, `${JSON.stringify(published, null, 2)}\n`, { flush: true })
  renameSync(draft, file)
}
