// A disk as EBS stores it: blocks of 512 KiB, without those that are all zero.
// Owns the one pass that computes its digest and its blocks' checksums. Fails as the file system does.
import { createHash } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'

/** The only block size of the EBS direct APIs (API reference, PutSnapshotBlock: DataLength). */
export const BLOCK_BYTES = 512 * 1024
/** 16 blocks of 512 KiB are 8 MiB of memory. At 60 ms a block this is 130 MiB/s: below AWS's limit. */
export const BLOCKS_AT_ONCE = 16
const ZEROES = Buffer.alloc(BLOCK_BYTES)
const GIB = 1024 ** 3

/** A block that is not all zero. `checksum` is the SHA-256 of its 512 KiB in Base64. */
export type DiskBlock = { index: number; checksum: string }

export type DiskSurvey = {
  /** SHA-256 of the file, in hexadecimal. */
  digest: string
  /** Size of the file in bytes. */
  bytes: number
  blocks: DiskBlock[]
  /** Over all blocks, see {@link linearChecksum}. */
  checksum: string
}

/** Reads the whole disk once. */
export async function surveyDisk(file: string, signal?: AbortSignal): Promise<DiskSurvey> {
  await using disk = await open(file)
  const whole = createHash('sha256')
  const blocks: DiskBlock[] = []
  let bytes = 0
  for (let index = 0; ; index++) {
    signal?.throwIfAborted()
    const { block, read } = await readPadded(disk, index)
    if (read === 0) break
    bytes += read
    whole.update(block.subarray(0, read))
    if (!block.equals(ZEROES)) blocks.push({ index, checksum: checksumOf(block) })
  }
  return { digest: whole.digest('hex'), bytes, blocks, checksum: linearChecksum(blocks) }
}

/** One block of an open disk. The last block of a file is filled up with zeroes. */
export async function readBlock(disk: FileHandle, index: number): Promise<Buffer> {
  return (await readPadded(disk, index)).block
}

/** SHA-256 in Base64, as the EBS direct APIs carry it. */
export function checksumOf(block: Uint8Array): string {
  return createHash('sha256').update(block).digest('base64')
}

/** Of a block that is all zero. */
export const ZERO_CHECKSUM = checksumOf(ZEROES)

/**
 * The checksum of a snapshot by the method LINEAR: SHA-256 over the checksums of the blocks that were written, as
 * bytes, in the order of their index (EBS direct APIs, CompleteSnapshot: Checksum).
 */
export function linearChecksum(blocks: readonly DiskBlock[]): string {
  const hash = createHash('sha256')
  for (const { checksum } of blocks) hash.update(Buffer.from(checksum, 'base64'))
  return hash.digest('base64')
}

/**
 * The ascending indexes of blocks in which `after` differs from `before`. A block that became all zero is among them,
 * because on a snapshot over `before` its old bytes would show through.
 */
export function changedBlocks(before: readonly DiskBlock[], after: readonly DiskBlock[]): number[] {
  const old = new Map(before.map(({ index, checksum }) => [index, checksum]))
  const changed = after.filter(({ index, checksum }) => old.get(index) !== checksum)
  const kept = new Set(after.map(({ index }) => index))
  const zeroed = before.filter(({ index }) => !kept.has(index))
  return [...changed, ...zeroed].map(({ index }) => index).sort((a, b) => a - b)
}

/** The size of the smallest volume for this many bytes, in whole GiB. */
export function volumeGiB(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / GIB))
}

async function readPadded(disk: FileHandle, index: number): Promise<{ block: Buffer; read: number }> {
  const block = Buffer.alloc(BLOCK_BYTES)
  let read = 0
  while (read < BLOCK_BYTES) {
    const { bytesRead } = await disk.read(block, read, BLOCK_BYTES - read, index * BLOCK_BYTES + read)
    if (bytesRead === 0) break
    read += bytesRead
  }
  return { block, read }
}
