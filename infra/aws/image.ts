// Resolves the image that a fleet runs to one literal AMI id, before the program registers a resource.
// Owns: the look-up and the check that the image may run. Fails with RunError, which Pulumi prints without a stack trace.
// A launch template with `resolve:ssm:…` would follow the channel by itself, and would disable rollback.
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as ssm from '@pulumi/aws/ssm/index.js'
import { RunError } from '@pulumi/pulumi'
import { providerMessage, isMissingImage, isMissingParameter } from './provider-error.ts'
import { DIGEST_TAG, digestOfDescription, RECEIPT_TAG } from '../../contract/image-tags.ts'
import { imageParameter } from '../../contract/ssm-parameters.ts'

export type FleetImage = {
  imageId: string
  /** SHA-256 of the disk: the image's name. */
  digest: string
  /** The launch template must use this name; any other name adds a second disk. */
  rootDeviceName: string
  /** In EC2's spelling: x86_64 or arm64. */
  architecture: string
  /** Whether the image requires a TPM. */
  tpm: boolean
  /** Whether this account owns the image and its snapshot. */
  own: boolean
  rootSnapshotId: string
}

export type ImageRequest = ({ imageId: string } | { channel: string }) & {
  /** The account that shares the image; undefined for this account. */
  owner: string | undefined
}

/** @throws {RunError} when the image is missing, not available, not bootable, or has no receipt of a boot test. */
export async function resolveImage(wanted: ImageRequest, region: string): Promise<FleetImage> {
  const imageId = 'imageId' in wanted ? wanted.imageId : await promotedImage(wanted.channel, region)
  const ami = await lookUp(imageId, wanted.owner, region)
  if (ami.state !== 'available')
    throw new RunError(
      `Image ${imageId} is ${ami.state}, not available: wait for it, or choose another image.`,
    )
  // The disk has an EFI partition and no boot sector. On x86-64, an image without a boot mode boots by BIOS.
  if (!/^uefi(-preferred)?$/.test(ami.bootMode))
    throw new RunError(
      `Image ${imageId} is registered with boot mode ${ami.bootMode || 'of its instance type'}, but its disk boots by UEFI only: publish it with \`mailfleet image publish\`.`,
    )
  return {
    imageId,
    digest: provenDigest(ami, wanted.owner),
    rootDeviceName: ami.rootDeviceName,
    architecture: ami.architecture,
    tpm: ami.tpmSupport === 'v2.0',
    own: wanted.owner === undefined,
    rootSnapshotId: ami.rootSnapshotId,
  }
}

/**
 * The digest of an image that `mailfleet image publish` registered: that command requires the receipt of a boot test.
 * Another account's tags are not visible. For its images this reads the description, and `imageOwner` expresses trust.
 */
function provenDigest(ami: ec2.GetAmiResult, owner: string | undefined): string {
  const tagged = ami.tags[RECEIPT_TAG] === undefined ? undefined : ami.tags[DIGEST_TAG]
  const described = digestOfDescription(ami.description)
  const digest = owner === undefined ? tagged : described
  if (digest !== undefined) return digest
  const missing = owner === undefined ? 'receipt' : 'digest in its description, and so no receipt'
  throw new RunError(
    `Image ${ami.imageId} has no ${missing}: the fleet runs only images that \`mailfleet image publish\` registered after a boot test.`,
  )
}

async function promotedImage(channel: string, region: string): Promise<string> {
  const name = imageParameter(channel)
  const { value } = await ssm.getParameter({ name }).catch((error: unknown) => {
    throw new RunError(
      isMissingParameter(error)
        ? `No image is promoted to ${channel} in ${region} (SSM parameter ${name}): run \`mailfleet image promote --channel ${channel}\`, or set mailfleet:imageId.`
        : `The SSM parameter ${name} could not be read: ${providerMessage(error)}`,
    )
  })
  if (!/^ami-[0-9a-f]+$/.test(value))
    throw new RunError(`The SSM parameter ${name} holds no AMI id but ${JSON.stringify(value)}.`)
  return value
}

function lookUp(imageId: string, owner: string | undefined, region: string): Promise<ec2.GetAmiResult> {
  const filters = [{ name: 'image-id', values: [imageId] }]
  const owners = [owner ?? 'self']
  return ec2.getAmi({ owners, filters, includeDeprecated: true }).catch((error: unknown) => {
    if (!isMissingImage(error))
      throw new RunError(`Image ${imageId} could not be looked up: ${providerMessage(error)}`)
    throw new RunError(
      owner === undefined
        ? `Image ${imageId} does not exist in this account in ${region}. AMI ids are per region: publish the image there with \`mailfleet image publish --region ${region}\`. If another account shares the image, set mailfleet:imageOwner.`
        : `Account ${owner} shares no image ${imageId} with this one in ${region}: share it with \`mailfleet image publish --share\`, or correct mailfleet:imageOwner.`,
    )
  })
}
