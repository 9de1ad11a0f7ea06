// Counts the blocks of an image that a boot reads, from QEMU's trace of NVMe reads. Owns the trace's format.
import { readFileSync } from 'node:fs'

/** EC2 fetches a block of this size from the snapshot when any byte of it is first read. */
const SNAPSHOT_BLOCK_BYTES = 512 * 1024
/** The block size of QEMU's NVMe namespaces. */
const LOGICAL_BLOCK_BYTES = 512

/** Counts the different 512 KiB blocks of the first disk in the trace. */
export function countBlocksRead(traceFile: string): number {
  return blocksOf(readFileSync(traceFile, 'utf8')).size
}

/** A line is like `pci_nvme_read cid 4 nsid 1 nlb 8 count 4096 lba 0x800`. Other namespaces are other disks. */
export function blocksOf(trace: string): Set<number> {
  const blocks = new Set<number>()
  for (const [, count, lba] of trace.matchAll(
    /pci_nvme_read cid \d+ nsid 1 nlb \d+ count (\d+) lba (0x[0-9a-f]+)/g,
  )) {
    const start = Number(lba) * LOGICAL_BLOCK_BYTES
    const end = start + Number(count)
    for (let block = Math.floor(start / SNAPSHOT_BLOCK_BYTES); block * SNAPSHOT_BLOCK_BYTES < end; block++) {
      blocks.add(block)
    }
  }
  return blocks
}
