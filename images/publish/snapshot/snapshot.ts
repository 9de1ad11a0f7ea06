// The snapshot of a disk, found by the digest in its tags, or uploaded and compared with the disk.
// A later run finishes the upload of an earlier one. It deletes unusable snapshots with this digest.
// Fails with AWS's error; the next run then finishes or replaces what is incomplete.
import { CompleteSnapshotCommand, StartSnapshotCommand, type EBSClient } from '@aws-sdk/client-ebs'
import type { EC2Client, Snapshot, Tag } from '@aws-sdk/client-ec2'
import { createHash } from 'node:crypto'
import type { OnProgress } from '../../../platform/progress.ts'
import { linearChecksum, volumeGiB, type DiskBlock, type DiskSurvey } from './blocks.ts'
import { deltaOver, type ParentSnapshot } from './delta.ts'
import { chooseParent, type ParentChoice } from './parent.ts'
import type { EbsRequestOptions } from '../aws/clients.ts'
import { isMissing, type AwsLimits } from '../aws/retry.ts'
import { uploadText } from '../plan.ts'
import { SnapshotDiffersError, verifyBlocks, type ReadBackScope } from './read-back.ts'
import { imageDescription, DIGEST_TAG, PARENT_TAG } from '../../../contract/image-tags.ts'
import {
  deleteSnapshot,
  isEncryptedAs,
  listSnapshots,
  settledSnapshot,
  tagOf,
  type SnapshotEncryption,
} from './snapshots.ts'
import { uploadRecord } from './upload-record.ts'
import { uploadBlocks } from './upload.ts'

export type SnapshotOptions = SnapshotEncryption & {
  ebs: EBSClient
  ec2: EC2Client
  region: string
  /** The image's folder, which keeps the upload record. */
  folder: string
  disk: string
  survey: DiskSurvey
  /** As EC2 calls it. */
  architecture: string
  parent: ParentChoice
  verify: ReadBackScope
  /** Besides the digest's. */
  tags: Tag[]
  limits: AwsLimits
  signal: AbortSignal
  onProgress: OnProgress
  onBytes: (sent: number, total: number) => void
}

/** The parent of a snapshot, and the blocks to write over it. */
type Contents = { parent: ParentSnapshot | null; writes: readonly DiskBlock[] }

/** In minutes. AWS gives up a snapshot that receives no write for this long; its default (StartSnapshot: Timeout). */
const TIMEOUT_MINUTES = 60
/** StartSnapshot answers a repeated token with the same snapshot, also after its deletion. So many tokens are tried. */
const MAX_STARTS = 5

/** Finds, finishes or makes a snapshot of the disk. @returns the id once it is complete. @throws {SnapshotDiffersError} */
export async function ensureSnapshot(o: SnapshotOptions): Promise<string> {
  const found = await listSnapshots(o, { name: `tag:${DIGEST_TAG}`, value: o.survey.digest })
  const usable = found.filter((snapshot) => isEncryptedAs(snapshot, o))
  const id = (await completed(o, usable)) ?? (await finished(o, usable)) ?? (await made(o, found))
  for (const { SnapshotId: other } of found) if (other !== id) await discard(o, other!)
  return id
}

/** A snapshot that an earlier run completed. One with a parent is read whole, since the parent may be lost. */
async function completed(o: SnapshotOptions, found: Snapshot[]): Promise<string | null> {
  for (const snapshot of found.filter(({ State }) => State === 'completed')) {
    const snapshotId = snapshot.SnapshotId!
    const verify = tagOf(snapshot, PARENT_TAG) !== undefined || o.verify === 'all' ? 'all' : 'sample'
    try {
      await verifyBlocks({ ...o, snapshotId }, o.survey.blocks, verify)
      return snapshotId
    } catch (error) {
      if (!(error instanceof SnapshotDiffersError)) throw error
      o.onProgress(error.message)
    }
  }
  return null
}

/** A snapshot that an earlier run began. It cannot be read yet; only the upload record lists its blocks. */
async function finished(o: SnapshotOptions, found: Snapshot[]): Promise<string | null> {
  for (const snapshot of found.filter(({ State }) => State === 'pending')) {
    const id = snapshot.SnapshotId!
    const contents = await contentsOf(o, snapshot)
    if (contents === null) continue
    o.onProgress(`going on with snapshot ${id}, which an earlier run began`)
    if (await filled(o, id, contents)) return id
  }
  return null
}

/** Null when its parent is gone, because its content is then unknown. */
async function contentsOf(o: SnapshotOptions, snapshot: Snapshot): Promise<Contents | null> {
  const snapshotId = tagOf(snapshot, PARENT_TAG)
  if (snapshotId === undefined) return { parent: null, writes: o.survey.blocks }
  const [found] = await listSnapshots(o, { name: 'snapshot-id', value: snapshotId })
  if (found === undefined) return null
  const parent = { snapshotId, digest: tagOf(found, DIGEST_TAG) ?? null }
  return { parent, writes: await deltaOver(o, parent) }
}

async function made(o: SnapshotOptions, found: Snapshot[]): Promise<string> {
  const dead = new Set(found.map(({ SnapshotId }) => SnapshotId!))
  let contents = await newContents(o)
  for (let start = 0; start < MAX_STARTS; start++) {
    let id: string
    try {
      id = await startSnapshot(o, contents.parent, [...dead].sort())
    } catch (error) {
      // An account that encrypts by default refuses an unencrypted parent. A parent can also be deleted meanwhile.
      if (o.parent !== 'auto' || contents.parent === null || !isRefused(error)) throw error
      o.onProgress(`AWS does not take snapshot ${contents.parent.snapshotId} as a parent; sending all blocks`)
      contents = { parent: null, writes: o.survey.blocks }
      continue
    }
    o.onProgress(`snapshot ${id}: ${uploadText(o.survey.blocks, contents)}`)
    if (await filled(o, id, contents)) return id
    dead.add(id)
  }
  throw new Error(`AWS answers with snapshots of this image that are gone (${[...dead].join(', ')})`)
}

/** If an automatically chosen parent cannot be read, all blocks are sent. */
async function newContents(o: SnapshotOptions): Promise<Contents> {
  const all = { parent: null, writes: o.survey.blocks }
  const parent = await chooseParent({ ...o, volumeGiB: volumeGiB(o.survey.bytes) })
  if (parent === null) return all
  try {
    return { parent, writes: await deltaOver(o, parent) }
  } catch (error) {
    o.signal.throwIfAborted()
    if (o.parent !== 'auto') throw error
    o.onProgress(
      `snapshot ${parent.snapshotId} cannot be read (${(error as Error).message}); sending all blocks`,
    )
    return all
  }
}

const isRefused = (error: unknown) => isMissing(error) || (error as Error).name === 'ValidationException'

/** Uploads the blocks. @returns false when the snapshot is gone, or AWS gave it up, and it must be replaced */
async function filled(o: SnapshotOptions, id: string, { writes }: Contents): Promise<boolean> {
  const record = uploadRecord(o.folder, { region: o.region, snapshotId: id })
  try {
    await uploadBlocks({ ...o, blocks: writes, snapshotId: id, record })
    await complete(o, id, writes)
  } catch (error) {
    if (isMissing(error)) return false
    if ((error as Error).name !== 'ValidationException') throw error
    // The record may be wrong. Without it the next run sends every block.
    record.forget()
    // A snapshot that another run completed gives the same error until EC2 shows it as completed.
    o.onProgress(`snapshot ${id} does not take what it is sent; has another run completed it?`)
    const limits = { ...o.limits, settleMs: o.limits.sealedMs }
    const state = await settledSnapshot({ ...o, limits }, id).catch(() => {
      throw error
    })
    if (state !== 'completed') return false
  }
  record.forget()
  await compare(o, id)
  return true
}

/** Compares the snapshot before it is registered, and deletes it if it differs. */
async function compare(o: SnapshotOptions, snapshotId: string): Promise<void> {
  if (o.verify === 'none') return
  o.onProgress(`reading ${o.verify === 'all' ? '' : 'a sample of '}snapshot ${snapshotId} back`)
  try {
    await verifyBlocks({ ...o, snapshotId }, o.survey.blocks, o.verify)
  } catch (error) {
    if (error instanceof SnapshotDiffersError) await discard(o, snapshotId)
    throw error
  }
}

/** With this token two runs at once share one snapshot. It changes once that snapshot has failed. */
async function startSnapshot(
  o: SnapshotOptions,
  parent: ParentSnapshot | null,
  dead: string[],
): Promise<string> {
  const own = [{ Key: DIGEST_TAG, Value: o.survey.digest }]
  if (parent !== null) own.push({ Key: PARENT_TAG, Value: parent.snapshotId })
  const request = {
    VolumeSize: volumeGiB(o.survey.bytes),
    Description: imageDescription(o.survey.digest),
    Timeout: TIMEOUT_MINUTES,
    Tags: [...own, ...o.tags],
    ...(parent === null ? encryption(o) : { ParentSnapshotId: parent.snapshotId }),
  }
  const ClientToken = createHash('sha256').update(JSON.stringify({ request, dead })).digest('hex')
  const command = new StartSnapshotCommand({ ...request, ClientToken })
  return (await o.ebs.send(command)).SnapshotId!
}

/** Empty with a parent, whose encryption the snapshot inherits (StartSnapshot: Encrypted). */
const encryption = ({ encrypt, kmsKey }: SnapshotEncryption) => ({
  ...(encrypt ? { Encrypted: true } : {}),
  ...(kmsKey === undefined ? {} : { KmsKeyArn: kmsKey }),
})

async function complete(o: SnapshotOptions, snapshotId: string, writes: readonly DiskBlock[]): Promise<void> {
  const command = new CompleteSnapshotCommand({
    SnapshotId: snapshotId,
    ChangedBlocksCount: writes.length,
    Checksum: linearChecksum(writes),
    ChecksumAlgorithm: 'SHA256',
    ChecksumAggregationMethod: 'LINEAR',
  })
  const options: EbsRequestOptions = { snapshotSinceMs: Date.now() }
  await o.ebs.send(command, options)
  o.onProgress(`all blocks are written; AWS completes snapshot ${snapshotId}`)
  const state = await settledSnapshot(o, snapshotId)
  if (state !== 'completed')
    throw new Error(`AWS gave up snapshot ${snapshotId} (${state}): publish again to replace it`)
}

async function discard(o: SnapshotOptions, id: string): Promise<void> {
  if (await deleteSnapshot(o, id)) o.onProgress(`deleted snapshot ${id}, which could not be used`)
}
