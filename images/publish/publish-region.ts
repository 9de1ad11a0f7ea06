// Makes or finds the image in one region: snapshot, AMI, then wait until it can be launched.
// Owns this order. A second run makes nothing twice, and also compares an image that it finds.
// Fails with one sentence about AWS's refusal.
import type { Tag } from '@aws-sdk/client-ec2'
import type { OnProgress } from '../../platform/progress.ts'
import type { AwsClients } from './aws/clients.ts'
import type { SurveyedImage } from './gate.ts'
import { waitUntilSettled, type AwsLimits } from './aws/retry.ts'
import { SnapshotDiffersError, verifyBlocks, type ReadBackScope } from './snapshot/read-back.ts'
import { availableImage, findImage, isNameTaken, registerImage } from './register.ts'
import { demandEncryption, type SnapshotEncryption } from './snapshot/snapshots.ts'

export type PublishRegionOptions = SnapshotEncryption & {
  aws: AwsClients
  image: SurveyedImage
  tags: Tag[]
  verify: ReadBackScope
  limits: AwsLimits
  signal: AbortSignal
  onProgress: OnProgress
}

export type ImageInRegion = {
  region: string
  imageId: string
  snapshotId: string
  /** True: the image existed already. */
  cached: boolean
}

/** EC2 shows a new image within seconds. */
const SHOWN_MS = 60_000

/**
 * The image in the region, ready to be launched.
 * @param makeSnapshot returns a completed snapshot that was compared with the disk; called only without an image
 */
export async function ensureImage(
  o: PublishRegionOptions,
  makeSnapshot: () => Promise<string>,
): Promise<ImageInRegion> {
  const { aws, image, limits, signal } = o
  const { digest, blocks } = image.survey
  const found = await findImage(aws.ec2, digest, o)
  const made = found ?? (await register(o, await makeSnapshot()))
  if (o.encrypt) await demandEncryption({ ...o, ec2: aws.ec2 }, made)
  await availableImage(aws.ec2, made.imageId, { limits, signal, shownMs: SHOWN_MS })
  if (found !== null && o.verify !== 'none') {
    o.onProgress(`reading ${o.verify === 'all' ? '' : 'a sample of '}snapshot ${found.snapshotId} back`)
    const request = { ebs: aws.ebs, snapshotId: found.snapshotId, signal }
    await verifyBlocks(request, blocks, o.verify).catch((error: unknown) => {
      if (!(error instanceof SnapshotDiffersError)) throw error
      const advice = `deregister ${found.imageId}, delete the snapshot, then publish again`
      throw new Error(`${error.message}; ${advice}`, { cause: error })
    })
  }
  return { region: aws.region, ...made, cached: found !== null }
}

async function register(
  o: PublishRegionOptions,
  snapshotId: string,
): Promise<{ snapshotId: string; imageId: string }> {
  const { manifest, survey, architecture } = o.image
  o.onProgress(`registering the image in ${o.aws.region}`)
  const name = `${manifest.name}-${survey.digest}`
  const request = { name, digest: survey.digest, architecture, snapshotId, tags: o.tags }
  try {
    return { snapshotId, imageId: await registerImage(o.aws.ec2, request) }
  } catch (error) {
    if (!isNameTaken(error)) throw error
    // The name has the digest, so this is the same image. AWS may take a moment to list it.
    const limits = { ...o.limits, settleMs: Math.min(o.limits.settleMs, SHOWN_MS) }
    const look = () => findImage(o.aws.ec2, survey.digest, o)
    const other = await waitUntilSettled(`showing image ${name}`, look, { limits, signal: o.signal })
    o.onProgress(`image ${other.imageId} was registered by another run`)
    return other
  }
}
