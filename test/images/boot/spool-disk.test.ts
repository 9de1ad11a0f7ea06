// Makes a real spool disk and reads it as the guest will.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { makeSpoolDisk } from '../../../images/boot/spool-disk.ts'

const folder = mkdtempSync(join(tmpdir(), 'mailfleet-spool-'))
after(() => rmSync(folder, { recursive: true }))

test('it is ext4, carries the label, and takes up little', async () => {
  const file = join(folder, 'spool.raw')
  await makeSpoolDisk(file, 64 * 1024 * 1024)
  // The superblock is at 1024, its magic number at 0x38, its label at 0x78 (Documentation/filesystems/ext4/super.rst).
  const superblock = readFileSync(file).subarray(1024, 2048)
  assert.equal(superblock.readUInt16LE(0x38), 0xef53)
  assert.equal(superblock.subarray(0x78, 0x88).toString().replace(/\0+$/, ''), 'mailfleet-spool')
  assert.equal(statSync(file).size, 64 * 1024 * 1024)
  assert.ok(statSync(file).blocks * 512 < 16 * 1024 * 1024)
})

test('it overwrites nothing', async () => {
  const file = join(folder, 'again.raw')
  await makeSpoolDisk(file, 64 * 1024 * 1024)
  await assert.rejects(makeSpoolDisk(file, 64 * 1024 * 1024), { code: 'EEXIST' })
})
