// The snapshot of a disk, known by the digest in its tags. Owns: that running it again finishes what an earlier run
// began instead of beginning anew, and that nothing unusable with this digest stays behind.
// Fails with AWS's error; what is half done then is finished, or replaced, by the next run.
import { CompleteSnapshotCommand, StartSnapshotCommand, type EBSClient } from '@aws-sdk/client-ebs'
import {
  DeleteSnapshotCommand,
  paginateDescribeSnapshots,
  type EC2Client,
  type Snapshot,
  type Tag,
} from '@aws-sdk/client-ec2'
import { createHash } from 'node:crypto'
import type { Progress } from '../progress.ts'
import { volumeGiB, type DiskSurvey } from './blocks.ts'
import { eventually, isMissing, patiently, type Patience } from './patience.ts'
import { holdsBlocks } from './read-back.ts'
import { uploadBlocks } from './upload.ts'

export const DIGEST_TAG = 'mailfleet:digest'

export type Encryption = {
  /** False leaves it to the account's default. */
  encrypt: boolean
  /** ARN of the key to encrypt with; the account's default key when undefined. */
  kmsKey?: string
}

export type SnapshotOptions = Encryption & {
  ebs: EBSClient
  ec2: EC2Client
  disk: string
  survey: DiskSurvey
  /** Besides the digest's. */
  tags: Tag[]
  patience: Patience
  signal: AbortSignal
  onProgress: Progress
  onBytes: (sent: number, total: number) => void
}

/** AWS forgets a snapshot that nobody writes to; in minutes, and its default (StartSnapshot: Timeout). */
const TIMEOUT_MINUTES = 60
/** StartSnapshot answers a known token with the snapshot of that time, deleted or not: so many may be gone. */
const MAX_STARTS = 5

/** The id of a completed snapshot of the disk: found, finished, or made. */
export async function ensureSnapshot(o: SnapshotOptions): Promise<string> {
  const found = await listSnapshots(o, { name: `tag:${DIGEST_TAG}`, value: o.survey.digest })
  const usable = found.filter((snapshot) => isEncryptedAs(snapshot, o))
  const id = (await completed(o, usable)) ?? (await finished(o, usable)) ?? (await made(o, found))
  for (const { SnapshotId: other } of found) if (other !== id) await discard(o, other!)
  return id
}

/** Whether the snapshot is encrypted as is wished; without a wish anything will do. */
function isEncryptedAs({ Encrypted, KmsKeyId }: Snapshot, { encrypt, kmsKey }: Encryption): boolean {
  return (!encrypt || Encrypted === true) && (kmsKey === undefined || KmsKeyId === kmsKey)
}

/** @throws {Error} when the snapshot of an image that is there is not encrypted as is wished. */
export async function demandEncryption(
  o: Encryption & Pick<SnapshotOptions, 'ec2' | 'signal'>,
  { imageId, snapshotId }: { imageId: string; snapshotId: string },
): Promise<void> {
  const [snapshot] = await listSnapshots(o, { name: 'snapshot-id', value: snapshotId })
  if (snapshot !== undefined && isEncryptedAs(snapshot, o)) return
  throw new Error(
    `image ${imageId} of these bytes is there, and its snapshot ${snapshotId} is not encrypted` +
      `${o.kmsKey === undefined ? '' : ` with ${o.kmsKey}`}: deregister it, delete the snapshot, then publish again`,
  )
}

/** A completed one that holds the disk's blocks; one without them was not completed by us. */
async function completed(o: SnapshotOptions, found: Snapshot[]): Promise<string | null> {
  for (const { SnapshotId: id, State } of found) {
    if (State === 'completed' && (await holdsBlocks({ ...o, snapshotId: id! }, o.survey.blocks))) return id!
  }
  return null
}

/** One that an earlier run began: its blocks are written again, since a pending snapshot cannot be read. */
async function finished(o: SnapshotOptions, found: Snapshot[]): Promise<string | null> {
  for (const { SnapshotId: id } of found.filter(({ State }) => State === 'pending')) {
    o.onProgress(`going on with snapshot ${id}, which an earlier run began`)
    if (await filled(o, id!)) return id!
  }
  return null
}

async function made(o: SnapshotOptions, found: Snapshot[]): Promise<string> {
  const dead = new Set(found.map(({ SnapshotId }) => SnapshotId!))
  for (let start = 0; start < MAX_STARTS; start++) {
    const id = await startSnapshot(o, [...dead].sort())
    o.onProgress(`snapshot ${id}`)
    if (await filled(o, id)) return id
    dead.add(id)
  }
  throw new Error(`AWS answers with snapshots of this image that are gone (${[...dead].join(', ')})`)
}

/** Fills the snapshot. @returns false when it is gone, or AWS gave it up: it must be replaced. */
async function filled(o: SnapshotOptions, id: string): Promise<boolean> {
  try {
    await fill(o, id)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    if ((error as Error).name !== 'ValidationException') throw error
    // That is also how a snapshot answers that another run has completed, and that is only not shown as such yet.
    o.onProgress(`snapshot ${id} does not take what it is sent; has another run completed it?`)
    const patience = { ...o.patience, settleMs: o.patience.sealedMs }
    const state = await settled({ ...o, patience }, id).catch(() => {
      throw error
    })
    return state === 'completed'
  }
}

/** The token makes two runs that begin at once share one snapshot; it differs once that one is dead. */
async function startSnapshot(o: SnapshotOptions, dead: string[]): Promise<string> {
  const request = {
    VolumeSize: volumeGiB(o.survey.bytes),
    Description: `mailfleet image ${o.survey.digest}`,
    Timeout: TIMEOUT_MINUTES,
    Tags: [{ Key: DIGEST_TAG, Value: o.survey.digest }, ...o.tags],
    ...(o.encrypt ? { Encrypted: true } : {}),
    ...(o.kmsKey === undefined ? {} : { KmsKeyArn: o.kmsKey }),
  }
  const ClientToken = createHash('sha256').update(JSON.stringify({ request, dead })).digest('hex')
  const command = new StartSnapshotCommand({ ...request, ClientToken })
  return (await patiently(() => o.ebs.send(command, { abortSignal: o.signal }), o)).SnapshotId!
}

async function fill(o: SnapshotOptions, snapshotId: string): Promise<void> {
  const { ebs, survey, signal } = o
  await uploadBlocks({ ...o, blocks: survey.blocks, snapshotId })
  const command = new CompleteSnapshotCommand({
    SnapshotId: snapshotId,
    ChangedBlocksCount: survey.blocks.length,
    Checksum: survey.checksum,
    ChecksumAlgorithm: 'SHA256',
    ChecksumAggregationMethod: 'LINEAR',
  })
  await patiently(() => ebs.send(command, { abortSignal: signal }), { ...o, bornMs: Date.now() })
  o.onProgress(`all blocks are written; AWS completes snapshot ${snapshotId}`)
  const state = await settled(o, snapshotId)
  if (state !== 'completed')
    throw new Error(`AWS gave up snapshot ${snapshotId} (${state}): publish again to replace it`)
}

/** Waits until the snapshot is no longer pending. @returns its state. */
async function settled(o: SnapshotOptions, id: string): Promise<string> {
  return eventually(`completing snapshot ${id}`, () => look(o, id), o)
}

async function look(o: SnapshotOptions, id: string): Promise<string | null> {
  // By filter: asked by id, EC2 fails while a new snapshot is not yet known everywhere.
  const [snapshot] = await listSnapshots(o, { name: 'snapshot-id', value: id })
  return snapshot === undefined || snapshot.State === 'pending' ? null : (snapshot.State ?? null)
}

async function listSnapshots(
  { ec2, signal }: Pick<SnapshotOptions, 'ec2' | 'signal'>,
  { name, value }: { name: string; value: string },
): Promise<Snapshot[]> {
  const request = { OwnerIds: ['self'], Filters: [{ Name: name, Values: [value] }] }
  const found: Snapshot[] = []
  for await (const page of paginateDescribeSnapshots({ client: ec2 }, request, { abortSignal: signal }))
    found.push(...(page.Snapshots ?? []))
  return found
}

/** Another image may stand on it: then it is in use, and stays. */
async function discard({ ec2, onProgress, signal }: SnapshotOptions, id: string): Promise<void> {
  try {
    await ec2.send(new DeleteSnapshotCommand({ SnapshotId: id }), { abortSignal: signal })
    onProgress(`deleted snapshot ${id}, which could not be used`)
  } catch (error) {
    const { name } = error as Error
    if (name === 'InvalidSnapshot.InUse') onProgress(`left snapshot ${id}, which an image uses`)
    else if (name !== 'InvalidSnapshot.NotFound') throw error
  }
}
