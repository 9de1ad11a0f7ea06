// Uploads the blocks of a disk to a snapshot, except those that an earlier run recorded.
// Sending a block twice is harmless.
import { PutSnapshotBlockCommand, type EBSClient } from '@aws-sdk/client-ebs'
import { open } from 'node:fs/promises'
import { BLOCK_BYTES, readBlock, type DiskBlock, BLOCKS_AT_ONCE } from './blocks.ts'
import { inParallel } from '../../../platform/parallel.ts'
import type { EbsRequestOptions } from '../aws/clients.ts'
import type { UploadRecord } from './upload-record.ts'

export type Upload = {
  ebs: EBSClient
  disk: string
  /** What is written; those that became zero among them, whose content is zeroes. */
  blocks: readonly DiskBlock[]
  snapshotId: string
  record: UploadRecord
  signal: AbortSignal
  /** Called after each block. */
  onBytes: (sent: number, total: number) => void
}

/** @throws the error of the first block that cannot be written; those under way are then abandoned. */
export async function uploadBlocks(upload: Upload): Promise<void> {
  const { disk, blocks, record, onBytes } = upload
  await using file = await open(disk)
  const snapshotSinceMs = Date.now()
  const waiting = blocks.filter(({ index }) => !record.has(index))
  let sent = (blocks.length - waiting.length) * BLOCK_BYTES
  try {
    await inParallel(
      waiting,
      { concurrency: BLOCKS_AT_ONCE, signal: upload.signal },
      async (block, signal) => {
        const data = await readBlock(file, block.index)
        await put(upload, block, { data, options: { abortSignal: signal, snapshotSinceMs } })
        record.add(block.index)
        sent += BLOCK_BYTES
        onBytes(sent, blocks.length * BLOCK_BYTES)
      },
    )
  } finally {
    record.save()
  }
}

/** EBS compares the block with its checksum, so a disk that changed since it was surveyed is refused. */
async function put(
  { ebs, snapshotId }: Upload,
  { index, checksum }: DiskBlock,
  { data, options }: { data: Buffer; options: EbsRequestOptions },
): Promise<void> {
  const command = new PutSnapshotBlockCommand({
    SnapshotId: snapshotId,
    BlockIndex: index,
    BlockData: data,
    DataLength: BLOCK_BYTES,
    Checksum: checksum,
    ChecksumAlgorithm: 'SHA256',
  })
  await ebs.send(command, options)
}
