// Chooses the parent of a new snapshot, so that AWS receives and stores only the blocks that differ.
// Fails with a sentence when the requested image cannot be the parent.
import { paginateDescribeImages, type EC2Client, type Image, type Snapshot } from '@aws-sdk/client-ec2'
import type { ParentSnapshot } from './delta.ts'
import { DIGEST_TAG } from '../../../contract/image-tags.ts'
import { isEncryptedAs, listSnapshots, tagOf, type SnapshotEncryption } from './snapshots.ts'

/** `auto`: the newest suitable image of ours; `none`; or the id of an AMI. */
export type ParentChoice = 'auto' | 'none' | `ami-${string}`

/** The number of images to check for the right encryption. Each check costs a request. */
const CANDIDATES = 5

export type ParentOptions = SnapshotEncryption & {
  ec2: EC2Client
  parent: ParentChoice
  architecture: string
  /** Of the new snapshot: AWS refuses a parent that is larger. */
  volumeGiB: number
}

/** @returns null when there is none. @throws {Error} when the requested AMI cannot be a parent */
export async function chooseParent(o: ParentOptions): Promise<ParentSnapshot | null> {
  if (o.parent === 'none') return null
  const isNamed = o.parent !== 'auto'
  for (const image of (await candidates(o)).slice(0, CANDIDATES)) {
    const snapshotId = image.BlockDeviceMappings?.[0]?.Ebs?.SnapshotId
    if (snapshotId === undefined) continue
    const [snapshot] = await listSnapshots(o, { name: 'snapshot-id', value: snapshotId })
    if (snapshot !== undefined && willDo(o, snapshot))
      return { snapshotId, digest: tagOf(snapshot, DIGEST_TAG) ?? null }
  }
  if (!isNamed) return null
  throw new Error(
    `image ${o.parent} cannot be the parent: this account has none of this id, architecture and encryption ` +
      `with at most ${o.volumeGiB} GiB in this region; use --parent none`,
  )
}

/** StartSnapshot takes no `Encrypted` with a parent, so the parent must already have the requested encryption. */
function willDo(o: ParentOptions, snapshot: Snapshot): boolean {
  const { State, Encrypted = false, VolumeSize = Infinity } = snapshot
  return (
    State === 'completed' &&
    VolumeSize <= o.volumeGiB &&
    Encrypted === o.encrypt &&
    isEncryptedAs(snapshot, o)
  )
}

/** Newest first. */
async function candidates({ ec2, parent, architecture }: ParentOptions): Promise<Image[]> {
  const filter =
    parent === 'auto' ? { Name: 'tag-key', Values: [DIGEST_TAG] } : { Name: 'image-id', Values: [parent] }
  const found: Image[] = []
  const request = { Owners: ['self'], Filters: [filter] }
  for await (const page of paginateDescribeImages({ client: ec2 }, request))
    found.push(...(page.Images ?? []))
  return found
    .filter(({ State, Architecture }) => State === 'available' && Architecture === architecture)
    .sort((a, b) => (b.CreationDate ?? '').localeCompare(a.CreationDate ?? ''))
}
