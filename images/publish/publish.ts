// Publishes an image to AWS: uploads it to one region, copies it to the others, shares and records it.
// Owns this order; a region that fails does not stop the others. A later run finishes what a stopped run began.
// Fails with InputError (image, credentials), or with one sentence about AWS's refusal.
import { InputError } from '../../input/problems.ts'
import type { OnProgress } from '../../platform/progress.ts'
import { clientsOfRun, type AwsClients } from './aws/clients.ts'
import { encryptionIn, ensureCopy } from './snapshot/copies.ts'
import { passGate, surveyImage, type ReceiptGate, type SurveyedImage } from './gate.ts'
import type { ParentChoice } from './snapshot/parent.ts'
import { AWS_LIMITS, type AwsLimits } from './aws/retry.ts'
import { recordPublished } from './published.ts'
import type { ReadBackScope } from './snapshot/read-back.ts'
import { ensureImage, type ImageInRegion, type PublishRegionOptions } from './publish-region.ts'
import { checkSharing, shareImage } from './share.ts'
import { ensureSnapshot } from './snapshot/snapshot.ts'
import { COMMIT_TAG, LOCK_TAG, RECEIPT_TAG } from '../../contract/image-tags.ts'
import { type SnapshotEncryption } from './snapshot/snapshots.ts'

export type PublishOptions = ReceiptGate &
  SnapshotEncryption & {
    /** Holds disk.raw, manifest.json and receipt.json. */
    folder: string
    /** The clients of the region of the upload. */
    aws: AwsClients
    /** The clients of the regions that AWS copies it to. */
    copyTo: AwsClients[]
    /** Accounts that may launch it in all these regions. */
    share: string[]
    parent: ParentChoice
    /** The commit of the checkout, for the tags. */
    commit: string
    /** How much of each snapshot is read back from AWS and compared. */
    verify: ReadBackScope
    signal: AbortSignal
    onProgress: OnProgress
    /** Bytes written to AWS so far, and in all; called after each block. */
    onBytes: (sent: number, total: number) => void
    limits?: AwsLimits
  }

export type PublishResult = ImageInRegion & {
  digest: string
  copies: ImageInRegion[]
  /** Regions that it could not be copied to, and why. */
  failed: { region: string; problem: string }[]
}

/** Makes AMIs of the image or finds them, and adds them to published.json. */
export async function publishToAws(options: PublishOptions): Promise<PublishResult> {
  const o = withRunClients(options)
  checkKey(o.kmsKey)
  checkSharing(o.share, o)
  const encryptions = o.copyTo.map(({ region }) => encryptionIn(region, o))
  o.onProgress('reading the disk')
  const image = await surveyImage(o.folder, o.signal)
  const { receiptDigest } = passGate(image, o)
  const region = regionOptions(o, image, receiptDigest)
  const upload = () => ensureSnapshot({ ...o, ...o.aws, ...image, ...region })
  const source = await ensureImage(region, upload)
  await finish(o, source, image, receiptDigest)
  const copied = o.copyTo.map(async (aws, i) => {
    const there = { ...region, ...encryptions[i]!, aws }
    const made = await ensureImage(there, () => ensureCopy(there, source))
    await finish({ ...o, aws }, made, image, receiptDigest)
    return made
  })
  const results = await Promise.allSettled(copied)
  o.signal.throwIfAborted()
  return { digest: image.survey.digest, ...source, ...outcome(o, results) }
}

function withRunClients(o: PublishOptions): PublishOptions {
  const run = { limits: o.limits ?? AWS_LIMITS, signal: o.signal }
  return { ...o, aws: clientsOfRun(o.aws, run), copyTo: o.copyTo.map((aws) => clientsOfRun(aws, run)) }
}

function regionOptions(
  o: PublishOptions,
  { manifest, ...image }: SurveyedImage,
  receipt: string,
): PublishRegionOptions {
  const tags = [
    { Key: RECEIPT_TAG, Value: receipt },
    { Key: COMMIT_TAG, Value: o.commit },
    { Key: LOCK_TAG, Value: manifest.lock },
  ]
  const { aws, verify, encrypt, kmsKey, signal, onProgress, limits = AWS_LIMITS } = o
  const key = kmsKey === undefined ? {} : { kmsKey }
  return { aws, verify, encrypt, ...key, signal, onProgress, limits, tags, image: { ...image, manifest } }
}

/** Shares the image, then records it. Until it is shared as requested, it does not count as published. */
async function finish(
  o: PublishOptions,
  { region, imageId, snapshotId }: ImageInRegion,
  { survey }: SurveyedImage,
  receipt: string,
): Promise<void> {
  await shareImage(o.aws, { imageId, snapshotId }, o.share)
  const image = { region, snapshotId, imageId, publishedAt: new Date().toISOString(), verified: o.verify }
  recordPublished(o.folder, { digest: survey.digest, receipt, image })
}

function outcome(
  { copyTo }: PublishOptions,
  results: PromiseSettledResult<ImageInRegion>[],
): Pick<PublishResult, 'copies' | 'failed'> {
  const copies = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const failed = results.flatMap((result, i) =>
    result.status === 'fulfilled'
      ? []
      : [{ region: copyTo[i]!.region, problem: (result.reason as Error).message }],
  )
  return { copies, failed }
}

/** StartSnapshot takes the ARN of a key, and no alias, id or alias's ARN (API reference, StartSnapshot: KmsKeyArn). */
function checkKey(found: string | undefined): void {
  if (found === undefined || /^arn:aws[a-z-]*:kms:[^:]+:\d{12}:key\/.+/.test(found)) return
  const expected = 'the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID'
  throw new InputError('the options', [{ key: '--kms-key', found, expected }])
}
