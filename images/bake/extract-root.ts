// The root of a baked image as plain files, for instances that run on this machine in a sandbox instead of a VM.
// Fails when the manifest names no root partition, or the disk is not the manifest's.
import { join } from 'node:path'
import { fetchLocked } from '../archive/fetch.ts'
import { IMAGE_LOCK, readManifest } from '../describe/manifest.ts'
import { readLock } from '../lock-file.ts'
import type { OnProgress } from '../../platform/progress.ts'
import { extractPartition } from './extract-partition.ts'
import { toolsTree } from './tools-tree.ts'

export type ExtractOptions = { cacheDir: string; onProgress?: OnProgress }

/**
 * Extracts the root's files, or finds them extracted, and returns their folder. The files belong to the caller, whatever
 * their owner in the image. The folder is shared: treat it as read-only.
 * @param image a baked image: its folder, which holds disk.raw and manifest.json
 */
export async function extractRoot(image: { folder: string }, options: ExtractOptions): Promise<string> {
  const { cacheDir, onProgress = () => {} } = options
  const { partitions, rootHash, digest, sourceDateEpoch } = readManifest(image.folder)
  const root = partitions.find(({ name }) => name.startsWith('root-'))
  if (!root) throw new Error(`${image.folder}: the manifest names no root partition`)
  const lock = readLock(join(image.folder, IMAGE_LOCK))
  const fetchFiles = () => fetchLocked(lock, { cacheDir, onProgress })
  const tools = await toolsTree({ lock, fetchFiles, cacheDir })
  onProgress("extracting the image's root")
  const disk = join(image.folder, 'disk.raw')
  const { startBytes } = root
  const partition = { disk, digest, rootHash, startBytes, sourceDateEpoch }
  const stage = await extractPartition(cacheDir, tools, partition)
  return join(stage.path, 'root')
}
