// The stage that extracts the files of a disk's root partition. The whole disk is checked against its digest first, so the
// files are those of the image that boots. Fails when the disk has another digest than its manifest.
import { hashFile, runStage, type StageResult } from '../cache.ts'
import { runTool } from '../../platform/sandbox.ts'

export type RootPartition = {
  /** Path of disk.raw. */
  disk: string
  /** SHA-256 that the disk must have. */
  digest: string
  rootHash: string
  startBytes: number
  sourceDateEpoch: number
}

/** Extracts the files. The result holds them in `root/`. */
export async function extractPartition(
  cacheDir: string,
  tools: StageResult,
  partition: RootPartition,
): Promise<StageResult> {
  const { disk, digest, rootHash, startBytes, sourceDateEpoch } = partition
  return runStage(cacheDir, {
    name: 'extracted',
    inputs: { rootHash, tools: tools.key },
    code: import.meta.filename,
    run: async (folder) => {
      const found = await hashFile(disk, 'sha256')
      if (found !== digest) throw new Error(`${disk} has the digest ${found}, not ${digest}`)
      const sandbox = {
        tools: tools.path,
        sourceDateEpoch,
        readOnly: { '/disk': disk },
        writable: { '/stage': folder },
      }
      await runTool(sandbox, [
        'fsck.erofs',
        '--extract=/stage/root',
        `--offset=${startBytes}`,
        '--no-preserve-owner',
        '--preserve-perms',
        '/disk',
      ])
    },
  })
}
