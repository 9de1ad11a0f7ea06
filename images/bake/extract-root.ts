// The root of a baked image as plain files, for instances that run on this machine in a sandbox instead of a VM.
// They come out of the disk image's own root partition, after the whole disk has been checked against its digest:
// what runs in the sandbox is what boots. Fails when the disk is not what its folder says.
import { join } from 'node:path'
import { hashFile, runStage } from '../cache.ts'
import { fetchLocked } from '../archive/fetch.ts'
import { readLock } from '../lock-file.ts'
import { IMAGE_LOCK, readManifest } from '../describe/manifest.ts'
import type { OnProgress } from '../../platform/progress.ts'
import { runTool, toolsTree } from './tools-tree.ts'

export type ExtractOptions = { cacheDir: string; onProgress?: OnProgress }

/**
 * Extracts the root's files, or finds them extracted, and returns their folder. They belong to the caller, whatever
 * they belong to in the image; treat the folder as read-only, it is shared.
 * @param image a baked image: its folder, which holds disk.raw and manifest.json
 */
export async function extractRoot(image: { folder: string }, options: ExtractOptions): Promise<string> {
  const { cacheDir, onProgress = () => {} } = options
  const manifest = readManifest(image.folder)
  const root = manifest.partitions.find(({ name }) => name.startsWith('root-'))
  if (!root) throw new Error(`${image.folder}: the manifest names no root partition`)
  const lock = readLock(join(image.folder, IMAGE_LOCK))
  const tools = await toolsTree(lock, () => fetchLocked(lock, { cacheDir, onProgress }), cacheDir)
  const stage = await runStage(cacheDir, {
    name: 'extracted',
    inputs: { rootHash: manifest.rootHash, tools: tools.key },
    code: [import.meta.filename],
    run: async (folder) => {
      onProgress("extracting the image's root")
      const disk = join(image.folder, 'disk.raw')
      const found = await hashFile(disk, 'sha256')
      if (found !== manifest.digest)
        throw new Error(`${disk} has the digest ${found}, not ${manifest.digest}`)
      const sandbox = {
        tools: tools.path,
        sourceDateEpoch: manifest.sourceDateEpoch,
        readOnly: { '/disk': disk },
        writable: { '/stage': folder },
      }
      await runTool(sandbox, [
        'fsck.erofs',
        '--extract=/stage/root',
        `--offset=${root.startBytes}`,
        '--no-preserve-owner',
        '--preserve-perms',
        '/disk',
      ])
    },
  })
  return join(stage.path, 'root')
}
