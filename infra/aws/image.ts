// Which image a fleet runs: resolved to one literal AMI id before anything is registered.
// Owns: the look-up and the proof that the image may run. Fails with RunError, which Pulumi prints as a sentence and
// without a stack: no such channel, no such image here, not available, not bootable, or no receipt of a boot test.
// A launch template that names `resolve:ssm:…` would follow the channel by itself, and would switch off the rollback.
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as ssm from '@pulumi/aws/ssm/index.js'
import { RunError } from '@pulumi/pulumi'
import { providerMessage, isMissingImage, isMissingParameter } from './provider-error.ts'
import { DIGEST_TAG, digestOfDescription, RECEIPT_TAG } from '../../contract/image-tags.ts'
import { imageParameter } from '../../contract/ssm-parameters.ts'

export type FleetImage = {
  imageId: string
  /** Of the disk's bytes; the image's name. */
  digest: string
  /** As the image maps it: another name in the launch template would be a second disk. */
  rootDeviceName: string
  /** As EC2 spells it: x86_64, arm64. */
  architecture: string
  /** Whether it starts only where there is a TPM. */
  tpm: boolean
  /** Whether this account owns it and its snapshot. */
  own: boolean
  rootSnapshotId: string
}

export type ImageRequest = ({ imageId: string } | { channel: string }) & {
  /** The account that published it and shares it; undefined for this one. */
  owner: string | undefined
}

/** @throws {RunError} when there is no image that may run. */
export async function resolveImage(wanted: ImageRequest, region: string): Promise<FleetImage> {
  const imageId = 'imageId' in wanted ? wanted.imageId : await promoted(wanted.channel, region)
  const ami = await lookUp(imageId, wanted.owner, region)
  if (ami.state !== 'available')
    throw new RunError(`Image ${imageId} is ${ami.state}, not available: wait for it, or choose another.`)
  // The disk has an EFI partition and no boot sector. An image without a boot mode starts by BIOS on x86-64.
  if (!/^uefi(-preferred)?$/.test(ami.bootMode))
    throw new RunError(
      `Image ${imageId} is registered with the boot mode ${ami.bootMode || 'of its instance type'}, and the disk boots by UEFI only: publish it with \`mailfleet image publish\`.`,
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
 * The digest of an image that `mailfleet image publish` registered, which asks for the receipt of a boot test first.
 * Another account's tags cannot be seen; its description can, and `imageOwner` says that the account is trusted.
 */
function provenDigest(ami: ec2.GetAmiResult, owner: string | undefined): string {
  const tagged = ami.tags[RECEIPT_TAG] === undefined ? undefined : ami.tags[DIGEST_TAG]
  const described = digestOfDescription(ami.description)
  const digest = owner === undefined ? tagged : described
  if (digest !== undefined) return digest
  const proof = owner === undefined ? 'receipt' : 'digest in its description, and so no receipt'
  throw new RunError(
    `Image ${ami.imageId} has no ${proof}: only what \`mailfleet image publish\` registered after its boot test may run.`,
  )
}

async function promoted(channel: string, region: string): Promise<string> {
  const name = imageParameter(channel)
  const { value } = await ssm.getParameter({ name }).catch((error: unknown) => {
    throw new RunError(
      isMissingParameter(error)
        ? `No image was promoted to ${channel} in ${region} (SSM parameter ${name}): run \`mailfleet image promote --channel ${channel}\`, or set mailfleet:imageId.`
        : `The SSM parameter ${name} could not be read: ${providerMessage(error)}`,
    )
  })
  if (!/^ami-[0-9a-f]+$/.test(value))
    throw new RunError(`The SSM parameter ${name} holds no AMI id, but ${JSON.stringify(value)}.`)
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
        ? `Image ${imageId} is none of this account's in ${region}: an AMI id holds in one region only, so publish the image there with \`mailfleet image publish --region ${region}\`. For an image that another account shares, set mailfleet:imageOwner.`
        : `Account ${owner} shares no image ${imageId} with this one in ${region}: publish it with \`mailfleet image publish --share\`, or correct mailfleet:imageOwner.`,
    )
  })
}
