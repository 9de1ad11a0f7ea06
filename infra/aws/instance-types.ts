// Checks with EC2 that the configured instance types can boot the image, before the program registers a resource.
// On a wrong architecture, without UEFI, or without a required TPM, each launch would fail.
// Fails with RunError, which lists all unsuitable types.
import * as ec2 from '@pulumi/aws/ec2/index.js'
import { RunError } from '@pulumi/pulumi'
import type { FleetImage } from './image.ts'
import { providerMessage } from './provider-error.ts'

/** What DescribeInstanceTypes reports of a type. */
export type InstanceTypeSupport = Pick<
  ec2.GetInstanceTypeResult,
  'supportedArchitectures' | 'bootModes' | 'nitroTpmSupport'
>

/** @throws {RunError} when a type cannot boot the image or cannot be looked up. */
export async function requireInstanceTypes(
  types: readonly string[],
  image: FleetImage,
  region: string,
): Promise<void> {
  const problems = await Promise.all(types.map((type) => problemOf(type, image)))
  const found = problems.filter((problem) => problem !== null)
  if (found.length === 0) return
  throw new RunError(
    `Instance types that image ${image.imageId} (${image.architecture}, UEFI) cannot run on in ${region}:\n  ${found.join('\n  ')}\nChange mailfleet:instanceTypes, or choose another image.`,
  )
}

async function problemOf(instanceType: string, image: FleetImage): Promise<string | null> {
  try {
    const reasons = incompatibilities(await ec2.getInstanceType({ instanceType }), image)
    return reasons.length === 0 ? null : `${instanceType}: ${reasons.join('; ')}`
  } catch (error) {
    return `${instanceType}: could not be looked up (${providerMessage(error)})`
  }
}

/** Why a type cannot boot the image; empty when it can. */
function incompatibilities(
  { supportedArchitectures, bootModes, nitroTpmSupport }: InstanceTypeSupport,
  image: FleetImage,
): string[] {
  const reasons: string[] = []
  if (!supportedArchitectures.includes(image.architecture))
    reasons.push(`runs ${supportedArchitectures.join(' and ')}, not ${image.architecture}`)
  if (!bootModes.includes('uefi')) reasons.push(`boots by ${bootModes.join(' and ')}, not by UEFI`)
  if (image.tpm && nitroTpmSupport !== 'supported') reasons.push('has no TPM, which the image requires')
  return reasons
}
