// The disk image: a GPT with the EFI system partition, the root and its verity tree. Owns: sizes, offsets and
// identifiers, all derived from the contents. The file is sparse, and writing it takes no privileges of root.
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { hashFile, type StageResult } from '../cache.ts'
import type { Lock } from '../lock-file.ts'
import { uuidFrom } from '../../platform/uuid-from-hex.ts'
import { readVerity } from './verity.ts'
import type { Spec } from '../spec.ts'
import { runTool } from '../../platform/sandbox.ts'

const MIB = 1024 * 1024
const SECTOR_BYTES = 512

/** GPT partition types: UEFI's, and those of the Discoverable Partitions Specification for the architecture. */
export const ESP_TYPE = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b'
export const ROOT_TYPES = {
  amd64: { root: '4f68bce3-e8cd-4db1-96e7-fbcaf984b709', verity: '2c7357ed-ebd2-46d9-aec1-23d437ec2bf5' },
  arm64: { root: 'b921b045-1df0-41c3-af44-4c6f280d3fae', verity: 'df3300ce-d69f-4c92-978c-9bfb0f38d820' },
}
/** A partition's content, GPT type and identifier. */
export type DiskPartition = { file: string; type: string; uuid: string; name: string; readOnly: boolean }

/** Where a partition lies on the disk, in bytes. */
export type PlacedPartition = { name: string; uuid: string; startBytes: number; sizeBytes: number }
export type BakedDisk = { digest: string; bytes: number; partitions: PlacedPartition[] }

/** Stages whose results go onto a disk. */
export type DiskParts = { spec: Spec; lock: Lock; tools: StageResult; root: StageResult; esp: StageResult }

/** Puts the partitions into a disk image at `file` and returns its SHA-256, size in bytes and layout. */
export async function writeDisk(file: string, parts: DiskParts): Promise<BakedDisk> {
  const { spec, lock, tools, root, esp } = parts
  const { rootHash } = readVerity(root)
  const types = ROOT_TYPES[spec.architecture]
  const id = rootHash.slice(0, 16)
  const seed = createHash('sha256').update(rootHash).digest('hex')
  const partitions: DiskPartition[] = [
    {
      file: join(esp.path, 'esp.img'),
      type: ESP_TYPE,
      uuid: uuidFrom(seed.slice(32)),
      name: 'esp',
      readOnly: false,
    },
    {
      file: join(root.path, 'root.erofs'),
      type: types.root,
      uuid: uuidFrom(rootHash),
      name: `root-${id}`,
      readOnly: true,
    },
    {
      file: join(root.path, 'root.verity'),
      type: types.verity,
      uuid: uuidFrom(rootHash.slice(32)),
      name: `verity-${id}`,
      readOnly: true,
    },
  ]
  const uuid = uuidFrom(seed)
  const { sourceDateEpoch } = lock
  const layout = await writePartitions(file, partitions, { uuid, tools: tools.path, sourceDateEpoch })
  return { digest: await hashFile(file, 'sha256'), ...layout }
}

/** Makes `file` a GPT disk of these partitions, each aligned to 1 MiB. @returns its size in bytes and layout. */
export async function writePartitions(
  file: string,
  partitions: readonly DiskPartition[],
  { uuid, tools, sourceDateEpoch }: { uuid: string; tools: string; sourceDateEpoch: number },
): Promise<Pick<BakedDisk, 'bytes' | 'partitions'>> {
  const placed = place(partitions)
  const last = placed.at(-1)
  // 1 MiB for the second copy of the partition table.
  const bytes = (last ? last.startBytes + roundUp(last.sizeBytes) : MIB) + MIB
  writeFileSync(file, '')
  truncateSync(file, bytes)
  await runTool(
    { tools, sourceDateEpoch, writable: { '/disk': file } },
    ['sfdisk', '--quiet', '--no-reread', '--no-tell-kernel', '/disk'],
    partitionTable(uuid, partitions, placed),
  )
  for (const [index, partition] of partitions.entries())
    copySparsely(partition.file, file, placed[index]?.startBytes ?? 0)
  return { bytes, partitions: placed }
}

function place(partitions: readonly DiskPartition[]): PlacedPartition[] {
  let startBytes = MIB
  return partitions.map(({ file, name, uuid }) => {
    const placed = { name, uuid, startBytes, sizeBytes: statSync(file).size }
    startBytes += roundUp(placed.sizeBytes)
    return placed
  })
}

const roundUp = (bytes: number) => Math.ceil(bytes / MIB) * MIB

/** A script for sfdisk(8). Attribute bit 60 is the Discoverable Partitions Specification's "read-only". */
function partitionTable(
  diskUuid: string,
  partitions: readonly DiskPartition[],
  placed: readonly PlacedPartition[],
): string {
  const lines = partitions.map(({ type, uuid, name, readOnly }, index) => {
    const at = placed[index] ?? { startBytes: 0, sizeBytes: 0 }
    const fields = [
      `start=${at.startBytes / SECTOR_BYTES}`,
      `size=${Math.ceil(at.sizeBytes / SECTOR_BYTES)}`,
      `type=${type}`,
      `uuid=${uuid}`,
      `name="${name}"`,
      ...(readOnly ? ['attrs="GUID:60"'] : []),
    ]
    return fields.join(', ')
  })
  return [`label: gpt`, `label-id: ${diskUuid}`, 'unit: sectors', 'first-lba: 2048', '', ...lines, ''].join(
    '\n',
  )
}

function copySparsely(from: string, to: string, startBytes: number): void {
  const [input, output] = [openSync(from, 'r'), openSync(to, 'r+')]
  try {
    const chunk = Buffer.alloc(64 * 1024)
    const zeros = Buffer.alloc(chunk.length)
    for (let at = 0; ;) {
      const read = readSync(input, chunk, 0, chunk.length, at)
      if (read === 0) break
      if (!chunk.subarray(0, read).equals(zeros.subarray(0, read))) {
        // On a full disk write(2) first writes a part, and fails with ENOSPC on the next call.
        for (let done = 0; done < read;)
          done += writeSync(output, chunk, done, read - done, startBytes + at + done)
      }
      at += read
    }
  } finally {
    closeSync(input)
    closeSync(output)
  }
}
