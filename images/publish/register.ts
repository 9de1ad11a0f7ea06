// The AMI of a disk, found by the digest in its tags. Owns the settings of the AMI, and its registration.
// It replaces an AMI that AWS marked as failed. Fails with AWS's error.
import {
  DeregisterImageCommand,
  DescribeImagesCommand,
  RegisterImageCommand,
  type ArchitectureValues,
  type EC2Client,
  type Image,
  type RegisterImageCommandInput,
  type Tag,
} from '@aws-sdk/client-ec2'
import type { OnProgress } from '../../platform/progress.ts'
import { waitUntilSettled, type AwsLimits } from './aws/retry.ts'
import { imageDescription, DIGEST_TAG } from '../../contract/image-tags.ts'

/** The root device of instances in EC2's words. Inside the instance it is an NVMe device. */
const ROOT_DEVICE = '/dev/xvda'

/** The AMI of this account with this digest, pending or available; null when there is no usable one. */
export async function findImage(
  ec2: EC2Client,
  digest: string,
  o: { onProgress: OnProgress },
): Promise<{ imageId: string; snapshotId: string } | null> {
  const request = { Owners: ['self'], Filters: [{ Name: `tag:${DIGEST_TAG}`, Values: [digest] }] }
  const { Images = [] } = await ec2.send(new DescribeImagesCommand(request))
  for (const image of Images) {
    if (image.State === 'available' || isUnderWay(image))
      return { imageId: image.ImageId!, snapshotId: rootSnapshot(image) }
    if (image.State === 'disabled' || image.State === 'deregistered') continue
    // A failed AMI would block its name for the next one.
    const ImageId = image.ImageId!
    await ec2.send(new DeregisterImageCommand({ ImageId }))
    o.onProgress(`deregistered image ${ImageId}, which AWS gave up (${image.State})`)
  }
  return null
}

/** Makes an AMI of a completed snapshot. @returns its id. */
export async function registerImage(
  ec2: EC2Client,
  o: {
    name: string
    digest: string
    architecture: ArchitectureValues
    snapshotId: string
    tags: Tag[]
  },
): Promise<string> {
  const request: RegisterImageCommandInput = {
    // Names are unique in an account and region, so two runs at once cannot make two images.
    Name: o.name,
    Description: imageDescription(o.digest),
    Architecture: o.architecture,
    VirtualizationType: 'hvm',
    BootMode: 'uefi',
    // EC2 offers a TPM only together with UEFI; the boot chain can then be measured and attested.
    TpmSupport: 'v2.0',
    // Instances answer IMDSv2 only, also if the launch template does not ask for it.
    ImdsSupport: 'v2.0',
    EnaSupport: true,
    // Some instance types older than Nitro need this network driver.
    SriovNetSupport: 'simple',
    RootDeviceName: ROOT_DEVICE,
    BlockDeviceMappings: [
      {
        DeviceName: ROOT_DEVICE,
        Ebs: { SnapshotId: o.snapshotId, VolumeType: 'gp3', DeleteOnTermination: true },
      },
    ],
    TagSpecifications: [
      {
        ResourceType: 'image',
        Tags: [{ Key: DIGEST_TAG, Value: o.digest }, { Key: 'Name', Value: o.name }, ...o.tags],
      },
    ],
  }
  return (await ec2.send(new RegisterImageCommand(request))).ImageId!
}

/** Whether the registration failed because an image with this name exists. */
export function isNameTaken(error: unknown): boolean {
  return (error as Error).name === 'InvalidAMIName.Duplicate'
}

/**
 * Waits until the AMI can be launched.
 * @param o.shownMs how long a new image may stay invisible, because AWS does not show it everywhere at once
 * @throws {Error} when it failed and can never be launched
 */
export async function availableImage(
  ec2: EC2Client,
  imageId: string,
  o: { limits: AwsLimits; signal: AbortSignal; shownMs?: number },
): Promise<Image> {
  const startedMs = Date.now()
  const look = async (): Promise<Image | null> => {
    const request = { Owners: ['self'], Filters: [{ Name: 'image-id', Values: [imageId] }] }
    const { Images = [] } = await ec2.send(new DescribeImagesCommand(request))
    const [image] = Images
    if (image === undefined && Date.now() - startedMs < (o.shownMs ?? 0)) return null
    if (image === undefined)
      throw new Error(`this account has no image ${imageId} in this region: publish it first`)
    if (image.State === 'available') return image
    if (isUnderWay(image)) return null
    throw new Error(`image ${imageId} is ${image.State}: publish it again`)
  }
  return waitUntilSettled(`making image ${imageId} available`, look, o)
}

const isUnderWay = ({ State }: Image) => State === 'pending' || State === 'transient'

function rootSnapshot({ ImageId, BlockDeviceMappings = [], RootDeviceName }: Image): string {
  const root = BlockDeviceMappings.find(({ DeviceName }) => DeviceName === RootDeviceName)
  if (root?.Ebs?.SnapshotId !== undefined) return root.Ebs.SnapshotId
  throw new Error(`image ${ImageId} has this digest’s tag but no snapshot: deregister it, then publish again`)
}
