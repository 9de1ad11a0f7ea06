// Counts distinct 512 KiB blocks in QEMU's trace.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blocksOf } from '../../../../images/boot/qemu/read-trace.ts'

const read = (nsid: number, offset: number, count: number) =>
  `pci_nvme_read cid 7 nsid ${nsid} nlb ${count / 512} count ${count} lba 0x${(offset / 512).toString(16)}`

test('a block counts once, a read across a border counts both, other disks do not count', () => {
  const block = 512 * 1024
  const trace = [
    read(1, 0, 4096),
    read(1, 8192, 4096),
    read(1, 3 * block - 512, 1024),
    read(1, 5 * block, block),
    read(2, 9 * block, 4096),
    'pci_nvme_write cid 1 nsid 1 nlb 8 count 4096 lba 0x9999',
  ].join('\n')
  assert.deepEqual([...blocksOf(trace)], [0, 2, 3, 5])
  assert.equal(blocksOf('').size, 0)
})
