// Makes the disk with an instance's user data. cloud-init's data source NoCloud finds it by its label.
// Fails with the message of the tool that failed.
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runTool } from '../../../platform/sandbox.ts'
import { META_DATA } from './user-data.ts'

/** A FAT file system of this size has room for about a hundred small files. */
const BYTES = 2 * 1024 * 1024

/** Makes `folder`/seed.img. @returns its path. */
export async function makeSeedDisk(tools: string, folder: string, userData: string): Promise<string> {
  const sandbox = { tools, sourceDateEpoch: 0, writable: { '/seed': folder }, cwd: '/seed' }
  writeFileSync(join(folder, 'user-data'), userData)
  writeFileSync(join(folder, 'meta-data'), META_DATA)
  writeFileSync(join(folder, 'seed.img'), '')
  truncateSync(join(folder, 'seed.img'), BYTES)
  await runTool(sandbox, ['mkfs.vfat', '-n', 'CIDATA', 'seed.img'])
  await runTool(sandbox, ['mcopy', '-i', 'seed.img', 'user-data', 'meta-data', '::/'])
  return join(folder, 'seed.img')
}
