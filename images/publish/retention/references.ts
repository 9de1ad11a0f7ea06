// What in this account uses an image: instances, all versions of launch templates, parameters.
// Asks EC2's own check, or lists the resources itself in a region without that check.
// Fails with AWS's error: a resource that may not be listed never counts as unused.
import {
  DescribeImageReferencesCommand,
  paginateDescribeInstances,
  paginateDescribeLaunchTemplates,
  paginateDescribeLaunchTemplateVersions,
  type EC2Client,
} from '@aws-sdk/client-ec2'
import type { AwsClients } from '../aws/clients.ts'

type References = Map<string, string[]>

/** Images a request. AWS does not document its limit. */
const IMAGES_AT_ONCE = 10
/** All versions of a launch template: the check looks at ten otherwise (DescribeImageReferences: version-depth). */
const VERSION_DEPTH = '10000'

/** Image → the resources that use it, as `type ARN`. */
export async function referencesTo(imageIds: readonly string[], { ec2 }: AwsClients): Promise<References> {
  const found: References = new Map(imageIds.map((id) => [id, []]))
  const add = (id: string | undefined, what: string) => found.get(id ?? '')?.push(what)
  try {
    for (let at = 0; at < imageIds.length; at += IMAGES_AT_ONCE)
      await check(imageIds.slice(at, at + IMAGES_AT_ONCE), ec2, add)
  } catch (error) {
    if (!/^(InvalidAction|UnsupportedOperation)$/.test((error as Error).name)) throw error
    for (const references of found.values()) references.length = 0
    await instances(ec2, add)
    await launchTemplates(ec2, add)
  }
  return found
}

type Add = (imageId: string | undefined, what: string) => void

async function check(ImageIds: string[], ec2: EC2Client, add: Add): Promise<void> {
  let NextToken: string | undefined
  do {
    const command = new DescribeImageReferencesCommand({
      ImageIds,
      IncludeAllResourceTypes: true,
      ResourceTypes: [
        {
          ResourceType: 'ec2:LaunchTemplate',
          ResourceTypeOptions: [{ OptionName: 'version-depth', OptionValues: [VERSION_DEPTH] }],
        },
      ],
      NextToken,
    })
    const page = await ec2.send(command)
    for (const { ImageId, ResourceType, Arn } of page.ImageReferences ?? [])
      add(ImageId, `${ResourceType} ${Arn}`)
    NextToken = page.NextToken
  } while (NextToken !== undefined)
}

async function instances(client: EC2Client, add: Add): Promise<void> {
  for await (const page of paginateDescribeInstances({ client }, {}))
    for (const { Instances = [] } of page.Reservations ?? [])
      for (const { ImageId, InstanceId, State } of Instances)
        if (State?.Name !== 'terminated') add(ImageId, `ec2:Instance ${InstanceId}`)
}

async function launchTemplates(client: EC2Client, add: Add): Promise<void> {
  for await (const page of paginateDescribeLaunchTemplates({ client }, {})) {
    for (const { LaunchTemplateId } of page.LaunchTemplates ?? []) {
      const request = { LaunchTemplateId }
      const versions = paginateDescribeLaunchTemplateVersions({ client }, request)
      for await (const { LaunchTemplateVersions = [] } of versions)
        for (const { LaunchTemplateData, VersionNumber } of LaunchTemplateVersions)
          add(LaunchTemplateData?.ImageId, `ec2:LaunchTemplate ${LaunchTemplateId} version ${VersionNumber}`)
    }
  }
}
