// Reads a completed snapshot and compares it with the disk: the list of blocks (10,000 a request), then their bytes.
// Fails with an error that names the first difference.
import {
  GetSnapshotBlockCommand,
  ListSnapshotBlocksCommand,
  type Block,
  type EBSClient,
} from '@aws-sdk/client-ebs'
import { randomInt } from 'node:crypto'
import { checksumOf, ZERO_CHECKSUM, type DiskBlock, BLOCKS_AT_ONCE } from './blocks.ts'
import { inParallel } from '../../../platform/parallel.ts'
import type { EbsRequestOptions } from '../aws/clients.ts'

/** The most that one page may hold (EBS direct APIs, ListSnapshotBlocks: MaxResults). */
const PAGE_BLOCKS = 10_000

/** 16 MiB to read, and $0.0001; a snapshot of which a tenth is wrong passes once in 29 times. */
export const SAMPLE_BLOCKS = 32

/** Which blocks of a snapshot are read back. With `none` not even their list is read. */
export type ReadBackScope = 'all' | 'sample' | 'none'

export type ReadBack = {
  ebs: EBSClient
  snapshotId: string
  signal: AbortSignal
  /** When the snapshot was completed or found; now by default, 0 when AWS must know it already. */
  snapshotSinceMs?: number
}

/** A snapshot with another content than the disk. */
export class SnapshotDiffersError extends Error {
  constructor(snapshotId: string, what: string) {
    super(`snapshot ${snapshotId} is not the disk: ${what}`)
    this.name = 'SnapshotDiffersError'
  }
}

/**
 * Compares the snapshot with the disk. It may list blocks that the disk lacks if they are all zero: those over a
 * parent's blocks. These are always read.
 * @throws {SnapshotDiffersError}
 */
export async function verifyBlocks(
  o: ReadBack,
  blocks: readonly DiskBlock[],
  verify: Exclude<ReadBackScope, 'none'>,
): Promise<void> {
  const stored = new Map((await listBlocks(o)).map((block) => [block.BlockIndex!, block]))
  const missing = blocks.filter(({ index }) => !stored.has(index)).length
  if (missing > 0) throw new SnapshotDiffersError(o.snapshotId, `${missing} blocks are missing`)
  const expected = new Map(blocks.map(({ index, checksum }) => [index, checksum]))
  const zeroes = [...stored.values()].filter(({ BlockIndex }) => !expected.has(BlockIndex!))
  const chosen = (verify === 'all' ? blocks : sample(blocks)).map(({ index }) => stored.get(index)!)
  await readBlocks(o, [...zeroes, ...chosen], (index, checksum) => {
    if (checksum !== (expected.get(index) ?? ZERO_CHECKSUM))
      throw new SnapshotDiffersError(o.snapshotId, `block ${index} differs`)
  })
}

/** Reads blocks of the snapshot, some at once, and reports the checksum of each. */
export async function readBlocks(
  o: ReadBack,
  blocks: readonly Block[],
  found: (index: number, checksum: string) => void,
): Promise<void> {
  await inParallel(blocks, { concurrency: BLOCKS_AT_ONCE, signal: o.signal }, async (block, signal) => {
    const data = await readStored({ ...o, signal }, block)
    found(block.BlockIndex!, checksumOf(data))
  })
}

/** All blocks of the snapshot by ascending index, with the tokens that a read needs. */
export async function listBlocks(o: ReadBack): Promise<Block[]> {
  const blocks: Block[] = []
  let NextToken: string | undefined
  do {
    const request = { SnapshotId: o.snapshotId, MaxResults: PAGE_BLOCKS, NextToken }
    const page = await o.ebs.send(new ListSnapshotBlocksCommand(request), requestOptions(o))
    blocks.push(...(page.Blocks ?? []))
    NextToken = page.NextToken
  } while (NextToken !== undefined)
  return blocks.sort((a, b) => a.BlockIndex! - b.BlockIndex!)
}

async function readStored(o: ReadBack, { BlockIndex, BlockToken }: Block): Promise<Uint8Array> {
  const request = { SnapshotId: o.snapshotId, BlockIndex, BlockToken }
  const { BlockData } = await o.ebs.send(new GetSnapshotBlockCommand(request), requestOptions(o))
  return BlockData!.transformToByteArray()
}

/** A random choice, so that repeated runs compare different blocks. */
function sample(blocks: readonly DiskBlock[]): DiskBlock[] {
  const rest = [...blocks]
  const taken: DiskBlock[] = []
  while (taken.length < SAMPLE_BLOCKS && rest.length > 0)
    taken.push(...rest.splice(randomInt(rest.length), 1))
  return taken
}

const requestOptions = ({ signal, snapshotSinceMs }: ReadBack): EbsRequestOptions => ({
  abortSignal: signal,
  snapshotSinceMs: snapshotSinceMs ?? Date.now(),
})
