// The snapshot of an image in a further region, copied by AWS and compared with the disk like an upload.
// A later run waits for a copy that an earlier run began. Fails with AWS's error, or SnapshotDiffersError.
import { CopySnapshotCommand, type Snapshot, type Tag } from '@aws-sdk/client-ec2'
import { InputError } from '../../../input/problems.ts'
import type { ImageInRegion, PublishRegionOptions } from '../publish-region.ts'
import { waitUntilSettled } from '../aws/retry.ts'
import { SnapshotDiffersError, verifyBlocks } from './read-back.ts'
import { imageDescription, DIGEST_TAG, SOURCE_TAG } from '../../../contract/image-tags.ts'
import {
  deleteSnapshot,
  isEncryptedAs,
  listSnapshots,
  settledSnapshot,
  tagOf,
  type SnapshotEncryption,
} from './snapshots.ts'

/** Finds, waits for or makes a completed copy of the source's snapshot in the region of `o`. */
export async function ensureCopy(o: PublishRegionOptions, source: ImageInRegion): Promise<string> {
  const asking = { ...o, ec2: o.aws.ec2 }
  const found = await listSnapshots(asking, { name: `tag:${DIGEST_TAG}`, value: o.image.survey.digest })
  const isOurs = (candidate: Snapshot) =>
    // A pending snapshot without this tag is an interrupted upload. It never completes by itself.
    isEncryptedAs(candidate, o) &&
    (candidate.State !== 'pending' || tagOf(candidate, SOURCE_TAG) !== undefined)
  for (const snapshot of found.filter(isOurs)) {
    const id = snapshot.SnapshotId!
    if (await isCopy(o, id)) return id
    if (await deleteSnapshot(asking, id)) o.onProgress(`deleted snapshot ${id}, which could not be used`)
  }
  const id = await copy(o, source)
  o.onProgress(`copying to ${o.aws.region}: snapshot ${id}`)
  if (await isCopy(o, id)) return id
  await deleteSnapshot(asking, id)
  throw new Error(
    `the copy in ${o.aws.region}, snapshot ${id}, did not come out; publish again to make another`,
  )
}

/** Waits until the copy is complete. @returns whether the compared blocks are those of the disk */
async function isCopy(o: PublishRegionOptions, snapshotId: string): Promise<boolean> {
  const asking = { ...o, ec2: o.aws.ec2 }
  if ((await settledSnapshot(asking, snapshotId)) !== 'completed') return false
  if (o.verify === 'none') return true
  try {
    await verifyBlocks({ ...o, ebs: o.aws.ebs, snapshotId }, o.image.survey.blocks, o.verify)
    return true
  } catch (error) {
    if (!(error instanceof SnapshotDiffersError)) throw error
    o.onProgress(error.message)
    return false
  }
}

/** AWS does not copy tags. A region takes 20 copies at once (EC2 quotas); beyond that a copy waits for its turn. */
async function copy(o: PublishRegionOptions, source: ImageInRegion): Promise<string> {
  const { digest } = o.image.survey
  const own = { Key: SOURCE_TAG, Value: `${source.region}/${source.snapshotId}` }
  const Tags: Tag[] = [{ Key: DIGEST_TAG, Value: digest }, own, ...o.tags]
  const command = new CopySnapshotCommand({
    SourceRegion: source.region,
    SourceSnapshotId: source.snapshotId,
    Description: imageDescription(digest),
    TagSpecifications: [{ ResourceType: 'snapshot', Tags }],
    ...(o.encrypt ? { Encrypted: true } : {}),
    ...(o.kmsKey === undefined ? {} : { KmsKeyId: o.kmsKey }),
  })
  const ask = async (): Promise<string | null> => {
    try {
      return (await o.aws.ec2.send(command)).SnapshotId!
    } catch (error) {
      if ((error as Error).name !== 'ResourceLimitExceeded') throw error
      o.onProgress(`${o.aws.region} takes no more copies at the moment; waiting`)
      return null
    }
  }
  return waitUntilSettled(`beginning the copy to ${o.aws.region}`, ask, o)
}

/**
 * The key of the same id in another region, as multi-Region keys have it (KMS: ids that begin with `mrk-`).
 * @throws {InputError} for any other key, which exists only in its own region
 */
export function encryptionIn(region: string, { encrypt, kmsKey }: SnapshotEncryption): SnapshotEncryption {
  if (kmsKey === undefined) return { encrypt }
  if (/:key\/mrk-/.test(kmsKey))
    return { encrypt, kmsKey: kmsKey.replace(/^(arn:[^:]+:kms:)[^:]+/, `$1${region}`) }
  const expected = 'a multi-Region key (its id begins with mrk-), since the image is copied to other regions'
  throw new InputError('the options', [{ key: '--kms-key', found: kmsKey, expected }])
}
