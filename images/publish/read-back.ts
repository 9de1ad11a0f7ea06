// What a completed snapshot holds, read from EBS. Owns: comparing it with the disk, by the list of its blocks (one
// request for 10,000 of them) or byte by byte. Fails with an error that names the first difference.
import {
  GetSnapshotBlockCommand,
  ListSnapshotBlocksCommand,
  type Block,
  type EBSClient,
} from '@aws-sdk/client-ebs'
import { checksumOf, type DiskBlock } from './blocks.ts'
import { patiently, type Patience } from './patience.ts'

/** The most that one page may hold (EBS direct APIs, ListSnapshotBlocks: MaxResults). */
const PAGE_BLOCKS = 10_000

export type ReadBack = {
  ebs: EBSClient
  snapshotId: string
  patience: Patience
  signal: AbortSignal
}

/** Whether the snapshot has exactly these blocks, going by their indexes. */
export async function holdsBlocks(o: ReadBack, blocks: readonly DiskBlock[]): Promise<boolean> {
  const stored = (await listBlocks(o)).map(({ BlockIndex }) => BlockIndex)
  return stored.length === blocks.length && stored.every((index, i) => index === blocks[i]?.index)
}

/** Reads every block of the snapshot. @throws {Error} unless they are the disk's. */
export async function verifyBlocks(o: ReadBack, blocks: readonly DiskBlock[]): Promise<void> {
  const expected = new Map(blocks.map(({ index, checksum }) => [index, checksum]))
  const wrong = (what: string) =>
    new Error(`snapshot ${o.snapshotId} is not the disk: ${what}; delete it and publish again`)
  for (const block of await listBlocks(o)) {
    const index = block.BlockIndex!
    if (checksumOf(await readStored(o, block)) !== expected.get(index)) throw wrong(`block ${index} differs`)
    expected.delete(index)
  }
  if (expected.size > 0) throw wrong(`${expected.size} blocks are missing`)
}

async function readStored(o: ReadBack, { BlockIndex, BlockToken }: Block): Promise<Uint8Array> {
  const request = { SnapshotId: o.snapshotId, BlockIndex, BlockToken }
  return send(o, async () => {
    const answer = await o.ebs.send(new GetSnapshotBlockCommand(request), { abortSignal: o.signal })
    return answer.BlockData!.transformToByteArray()
  })
}

async function listBlocks(o: ReadBack): Promise<Block[]> {
  const blocks: Block[] = []
  let NextToken: string | undefined
  do {
    const request = { SnapshotId: o.snapshotId, MaxResults: PAGE_BLOCKS, NextToken }
    const page = await send(o, () =>
      o.ebs.send(new ListSnapshotBlocksCommand(request), { abortSignal: o.signal }),
    )
    blocks.push(...(page.Blocks ?? []))
    NextToken = page.NextToken
  } while (NextToken !== undefined)
  return blocks.sort((a, b) => a.BlockIndex! - b.BlockIndex!)
}

const send = <T>({ patience, signal }: ReadBack, request: () => Promise<T>) =>
  patiently(request, { patience, bornMs: Date.now(), signal })
