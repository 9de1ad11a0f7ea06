// Fills a snapshot with a disk's blocks. Owns: how many are under way at once, and the end of the rest when one fails.
// Writing a block again is harmless, so an upload that was stopped is simply begun again.
import { PutSnapshotBlockCommand, type EBSClient } from '@aws-sdk/client-ebs'
import { open } from 'node:fs/promises'
import { BLOCK_BYTES, readBlock, type DiskBlock } from './blocks.ts'
import { patiently, type Patience } from './patience.ts'

/** 16 × 512 KiB are 8 MiB of memory, and at 60 ms a block 130 MiB/s: more than most lines, less than AWS's limit. */
const UNDER_WAY = 16

export type Upload = {
  ebs: EBSClient
  disk: string
  blocks: readonly DiskBlock[]
  snapshotId: string
  patience: Patience
  signal: AbortSignal
  /** Called after each block. */
  onBytes: (sent: number, total: number) => void
}

/** @throws the error of the first block that cannot be written; those under way are then abandoned. */
export async function uploadBlocks(upload: Upload): Promise<void> {
  const { disk, blocks, onBytes } = upload
  await using file = await open(disk)
  const failed = new AbortController()
  const signal = AbortSignal.any([upload.signal, failed.signal])
  const bornMs = Date.now()
  const waiting = blocks.values()
  let sent = 0
  const worker = async () => {
    for (const block of waiting) {
      const data = await readBlock(file, block.index)
      await patiently(() => put(upload, block, data, signal), { patience: upload.patience, bornMs, signal })
      sent += BLOCK_BYTES
      onBytes(sent, blocks.length * BLOCK_BYTES)
    }
  }
  const workers = Array.from({ length: UNDER_WAY }, () =>
    worker().catch((error: unknown) => {
      failed.abort(error)
      throw error
    }),
  )
  // The file stays open until none of them reads from it.
  await Promise.allSettled(workers)
  upload.signal.throwIfAborted()
  failed.signal.throwIfAborted()
}

/** EBS compares the block with its checksum, so a disk that changed since it was surveyed is refused. */
async function put(
  { ebs, snapshotId }: Upload,
  { index, checksum }: DiskBlock,
  data: Buffer,
  abortSignal: AbortSignal,
): Promise<void> {
  const command = new PutSnapshotBlockCommand({
    SnapshotId: snapshotId,
    BlockIndex: index,
    BlockData: data,
    DataLength: BLOCK_BYTES,
    Checksum: checksum,
    ChecksumAlgorithm: 'SHA256',
  })
  await ebs.send(command, { abortSignal })
}
