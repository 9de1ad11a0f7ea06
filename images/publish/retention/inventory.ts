// Our images, snapshots and channels in one region, and what uses them. Only what has our tag is listed.
// Fails with AWS's error, and then returns nothing.
import { channelOfParameter, PARAMETER_PREFIX } from '../../../contract/ssm-parameters.ts'
import {
  DescribeImageAttributeCommand,
  paginateDescribeImages,
  paginateDescribeSnapshots,
  type Image,
  type Snapshot,
} from '@aws-sdk/client-ec2'
import { paginateDescribeParameters } from '@aws-sdk/client-ssm'
import { channelHistory, type ChannelVersion } from '../channel/channel.ts'
import type { AwsClients } from '../aws/clients.ts'
import { referencesTo } from './references.ts'
import { DIGEST_TAG } from '../../../contract/image-tags.ts'
import { tagOf } from '../snapshot/snapshots.ts'

export type KnownImage = {
  imageId: string
  digest: string
  architecture: string
  /** The state in EC2's words: available, pending, … */
  state: string
  /** Null when it is unknown. */
  snapshotId: string | null
  createdMs: number
  /** The time of its deprecation, past or future; null when none is set. */
  deprecatedMs: number | null
  /** The resources of this account that use it, as `type ARN`. */
  references: string[]
  /** Other accounts and organizations that may launch it, or all accounts. */
  sharedWith: number
}

export type KnownSnapshot = { snapshotId: string; digest: string; startedMs: number }

export type Inventory = {
  region: string
  images: KnownImage[]
  snapshots: KnownSnapshot[]
  channels: { channel: string; moves: ChannelVersion[] }[]
}

const OURS = [{ Name: 'tag-key', Values: [DIGEST_TAG] }]

/** Lists the images, snapshots and channels of the region. */
export async function takeInventory(aws: AwsClients): Promise<Inventory> {
  const images = await ourImages(aws)
  const ids = images.map(({ ImageId }) => ImageId!)
  const references = await referencesTo(ids, aws)
  const known = []
  for (const image of images) {
    const sharedWith = await sharesOf(aws, image)
    known.push({ ...described(image), references: references.get(image.ImageId!) ?? [], sharedWith })
  }
  const snapshots = (await ourSnapshots(aws)).map((snapshot) => ({
    snapshotId: snapshot.SnapshotId!,
    digest: tagOf(snapshot, DIGEST_TAG) ?? '',
    startedMs: snapshot.StartTime?.getTime() ?? 0,
  }))
  return { region: aws.region, images: known, snapshots, channels: await ourChannels(aws) }
}

function described(image: Image): Omit<KnownImage, 'references' | 'sharedWith'> {
  const root = image.BlockDeviceMappings?.find(({ DeviceName }) => DeviceName === image.RootDeviceName)
  return {
    imageId: image.ImageId!,
    digest: tagOf(image, DIGEST_TAG) ?? '',
    architecture: image.Architecture ?? '',
    state: image.State ?? '',
    snapshotId: root?.Ebs?.SnapshotId ?? null,
    createdMs: Date.parse(image.CreationDate ?? ''),
    deprecatedMs: image.DeprecationTime === undefined ? null : Date.parse(image.DeprecationTime),
  }
}

async function ourImages(aws: AwsClients): Promise<Image[]> {
  const found: Image[] = []
  const request = { Owners: ['self'], Filters: OURS }
  for await (const page of paginateDescribeImages({ client: aws.ec2 }, request))
    found.push(...(page.Images ?? []))
  // AWS still lists a deregistered image for a while.
  return found.filter(({ State }) => State !== 'deregistered')
}

async function ourSnapshots(aws: AwsClients): Promise<Snapshot[]> {
  const found: Snapshot[] = []
  const request = { OwnerIds: ['self'], Filters: OURS }
  for await (const page of paginateDescribeSnapshots({ client: aws.ec2 }, request))
    found.push(...(page.Snapshots ?? []))
  return found
}

async function sharesOf(aws: AwsClients, { ImageId }: Image): Promise<number> {
  const command = new DescribeImageAttributeCommand({ ImageId, Attribute: 'launchPermission' })
  const { LaunchPermissions = [] } = await aws.ec2.send(command)
  return LaunchPermissions.length
}

async function ourChannels(aws: AwsClients): Promise<Inventory['channels']> {
  const filter = { Key: 'Name', Option: 'BeginsWith', Values: [PARAMETER_PREFIX] }
  const names: string[] = []
  const request = { ParameterFilters: [filter] }
  for await (const page of paginateDescribeParameters({ client: aws.ssm }, request))
    names.push(...(page.Parameters ?? []).map(({ Name = '' }) => Name))
  const channels = []
  for (const name of names.sort()) {
    const channel = channelOfParameter(name)
    if (channel === undefined) continue
    channels.push({ channel, moves: await channelHistory({ ssm: aws.ssm, channel }) })
  }
  return channels
}
