// Which image a fleet runs: resolved to one literal AMI id before anything is registered.
// Owns: the look-up and the proof that the image may run. Fails with RunError, which Pulumi prints as a sentence and
// without a stack: no such channel, no such image here, not available, or no receipt of a boot test.
// A launch template that names `resolve:ssm:…` would follow the channel by itself, and would switch off the rollback.
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as ssm from '@pulumi/aws/ssm/index.js'
import { RunError } from '@pulumi/pulumi'
import { causeOf, isMissingImage, isMissingParameter } from './provider-error.ts'

export type Image = {
  imageId: string
  /** Of the disk's bytes; the image's name. */
  digest: string
  /** As the image maps it: another name in the launch template would be a second disk. */
  rootDeviceName: string
}

/** @throws {RunError} when there is no image that may run. */
export async function resolveImage(
  wanted: { imageId: string } | { channel: string },
  region: string,
): Promise<Image> {
  const imageId = 'imageId' in wanted ? wanted.imageId : await promoted(wanted.channel, region)
  const ami = await lookUp(imageId, region)
  if (ami.state !== 'available')
    throw new RunError(`Image ${imageId} is ${ami.state}, not available: wait for it, or choose another.`)
  const digest = ami.tags['mailfleet:digest']
  if (ami.tags['mailfleet:receipt'] === undefined || digest === undefined)
    throw new RunError(
      `Image ${imageId} has no receipt: only what \`mailfleet image publish\` registered after its boot test may run.`,
    )
  return { imageId, digest, rootDeviceName: ami.rootDeviceName }
}

async function promoted(channel: string, region: string): Promise<string> {
  const name = `/mailfleet/${channel}/image`
  const { value } = await ssm.getParameter({ name }).catch((error: unknown) => {
    throw new RunError(
      isMissingParameter(error)
        ? `No image was promoted to ${channel} in ${region} (SSM parameter ${name}): run \`mailfleet image promote --channel ${channel}\`, or set mailfleet:imageId.`
        : `The SSM parameter ${name} could not be read: ${causeOf(error)}`,
    )
  })
  if (!/^ami-[0-9a-f]+$/.test(value))
    throw new RunError(`The SSM parameter ${name} holds no AMI id, but ${JSON.stringify(value)}.`)
  return value
}

function lookUp(imageId: string, region: string): Promise<ec2.GetAmiResult> {
  const filters = [{ name: 'image-id', values: [imageId] }]
  return ec2.getAmi({ owners: ['self'], filters, includeDeprecated: true }).catch((error: unknown) => {
    throw new RunError(
      isMissingImage(error)
        ? `Image ${imageId} is none of this account's in ${region}: an AMI id holds in one region only, so publish the image there with \`mailfleet image publish --region ${region}\`.`
        : `Image ${imageId} could not be looked up: ${causeOf(error)}`,
    )
  })
}
