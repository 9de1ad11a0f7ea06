// Finds, deletes and waits for our snapshots in EC2, and checks their encryption. Fails with AWS's error.
import {
  DeleteSnapshotCommand,
  paginateDescribeSnapshots,
  type EC2Client,
  type Snapshot,
  type Tag,
} from '@aws-sdk/client-ec2'
import type { OnProgress } from '../../../platform/progress.ts'
import { waitUntilSettled, type AwsLimits } from '../aws/retry.ts'

export type SnapshotEncryption = {
  /** False leaves it to the account's default. */
  encrypt: boolean
  /** ARN of the key to encrypt with; the account's default key when undefined. */
  kmsKey?: string
}

/** The value of a tag. */
export function tagOf({ Tags = [] }: { Tags?: Tag[] | undefined }, key: string): string | undefined {
  return Tags.find(({ Key }) => Key === key)?.Value
}

/** Whether the snapshot is encrypted as is wished; without a wish anything will do. */
export function isEncryptedAs(
  { Encrypted, KmsKeyId }: Snapshot,
  { encrypt, kmsKey }: SnapshotEncryption,
): boolean {
  return (!encrypt || Encrypted === true) && (kmsKey === undefined || KmsKeyId === kmsKey)
}

/** The account's own snapshots, by a filter of DescribeSnapshots. */
export async function listSnapshots(
  { ec2 }: { ec2: EC2Client },
  { name, value }: { name: string; value: string },
): Promise<Snapshot[]> {
  const request = { OwnerIds: ['self'], Filters: [{ Name: name, Values: [value] }] }
  const found: Snapshot[] = []
  for await (const page of paginateDescribeSnapshots({ client: ec2 }, request))
    found.push(...(page.Snapshots ?? []))
  return found
}

/** Waits until the snapshot is no longer pending. @returns its state. */
export async function settledSnapshot(
  o: { ec2: EC2Client; limits: AwsLimits; signal: AbortSignal },
  id: string,
): Promise<string> {
  const look = async (): Promise<string | null> => {
    // By filter: asked by id, EC2 fails while a new snapshot is not yet known everywhere.
    const [snapshot] = await listSnapshots(o, { name: 'snapshot-id', value: id })
    return snapshot === undefined || snapshot.State === 'pending' ? null : (snapshot.State ?? null)
  }
  return waitUntilSettled(`completing snapshot ${id}`, look, o)
}

/** Deletes a snapshot, unless an image stands on it: then it is in use, and stays. @returns whether it is gone */
export async function deleteSnapshot(
  { ec2, onProgress }: { ec2: EC2Client; onProgress: OnProgress },
  id: string,
): Promise<boolean> {
  try {
    await ec2.send(new DeleteSnapshotCommand({ SnapshotId: id }))
    return true
  } catch (error) {
    const { name } = error as Error
    if (name === 'InvalidSnapshot.NotFound') return true
    if (name !== 'InvalidSnapshot.InUse') throw error
    onProgress(`left snapshot ${id}, which an image uses`)
    return false
  }
}

/** @throws {Error} when the snapshot of an image that is there is not encrypted as is wished. */
export async function demandEncryption(
  o: SnapshotEncryption & { ec2: EC2Client },
  { imageId, snapshotId }: { imageId: string; snapshotId: string },
): Promise<void> {
  const [snapshot] = await listSnapshots(o, { name: 'snapshot-id', value: snapshotId })
  if (snapshot !== undefined && isEncryptedAs(snapshot, o)) return
  throw new Error(
    `image ${imageId} of these bytes is there, and its snapshot ${snapshotId} is not encrypted` +
      `${o.kmsKey === undefined ? '' : ` with ${o.kmsKey}`}: deregister it, delete the snapshot, then publish again`,
  )
}
