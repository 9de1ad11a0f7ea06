// The blocks to upload for a snapshot over a parent. It learns the parent's content from its disk here, or reads it back.
// A block that became zero is written as zeroes, since the parent's bytes would show through.
// Fails with AWS's error when the parent cannot be read.
import type { Block, EBSClient } from '@aws-sdk/client-ebs'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { OnProgress } from '../../../platform/progress.ts'
import { changedBlocks, surveyDisk, ZERO_CHECKSUM, type DiskBlock, type DiskSurvey } from './blocks.ts'
import { listBlocks, readBlocks } from './read-back.ts'

export type ParentSnapshot = {
  snapshotId: string
  /** The digest of its disk, from its tag; null without a tag. */
  digest: string | null
}

export type DeltaOptions = {
  ebs: EBSClient
  /** The image's folder. The folders of other images are beside it. */
  folder: string
  survey: DiskSurvey
  signal: AbortSignal
  onProgress: OnProgress
}

/** The blocks to write over the parent, ascending. */
export async function deltaOver(o: DeltaOptions, parent: ParentSnapshot): Promise<DiskBlock[]> {
  // The parent is old. If AWS reports it as missing, it is deleted, and a retry does not help.
  const listed = await listBlocks({ ...o, snapshotId: parent.snapshotId, snapshotSinceMs: 0 })
  const before = (await fromDisk(o, parent, listed)) ?? (await fromSnapshot(o, parent, listed))
  return writesOver(before, o.survey.blocks)
}

/** The blocks that turn a snapshot of `before` into one of `after`, ascending, those of zeroes among them. */
export function writesOver(before: readonly DiskBlock[], after: readonly DiskBlock[]): DiskBlock[] {
  const checksums = new Map(after.map(({ index, checksum }) => [index, checksum]))
  return changedBlocks(before, after).map((index) => ({
    index,
    checksum: checksums.get(index) ?? ZERO_CHECKSUM,
  }))
}

/** Null when this disk is not here, or differs from the list of AWS. */
async function fromDisk(
  o: DeltaOptions,
  { digest }: ParentSnapshot,
  listed: Block[],
): Promise<DiskBlock[] | null> {
  const disk = join(dirname(o.folder), digest ?? '', 'disk.raw')
  if (digest === null || !existsSync(disk)) return null
  const survey = await surveyDisk(disk, o.signal)
  const known = new Map(survey.blocks.map((block) => [block.index, block]))
  const isListed = new Set(listed.map(({ BlockIndex }) => BlockIndex!))
  if (survey.digest !== digest || survey.blocks.some(({ index }) => !isListed.has(index))) return null
  // Blocks that only AWS lists were zeroed over an earlier parent. They are written as zeroes again, in case they are not.
  return listed.map(({ BlockIndex: index }) => known.get(index!) ?? { index: index!, checksum: 'unknown' })
}

/** Only blocks that both have are read. The others are written in any case. */
async function fromSnapshot(o: DeltaOptions, parent: ParentSnapshot, listed: Block[]): Promise<DiskBlock[]> {
  const ours = new Set(o.survey.blocks.map(({ index }) => index))
  const common = listed.filter(({ BlockIndex }) => ours.has(BlockIndex!))
  o.onProgress(`reading ${common.length} blocks of snapshot ${parent.snapshotId}, the parent`)
  const checksums = new Map<number, string>()
  await readBlocks({ ...o, snapshotId: parent.snapshotId, snapshotSinceMs: 0 }, common, (index, checksum) =>
    checksums.set(index, checksum),
  )
  return listed.map(({ BlockIndex: index }) => ({
    index: index!,
    checksum: checksums.get(index!) ?? 'unknown',
  }))
}
