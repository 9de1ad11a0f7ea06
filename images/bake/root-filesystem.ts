// The root file system: the system's read-only erofs with the server added to it, and the dm-verity tree over both.
// Fails with the tool's own output.
import { constants, copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SERVER_FOLDER } from '../../contract/image-paths.ts'
import { runStage, temporaryFolder, type StageContext, type StageResult } from '../cache.ts'
import { joinTars, writeTar, type TarEntry } from '../formats/tar-writer.ts'
import { addToErofs, jsonDigest } from './make-erofs.ts'
import type { ServerBundle } from './server-bundle.ts'
import { readSeed, SYSTEM_EROFS, systemFilesystem, type SystemParts } from './system-filesystem.ts'
import { makeVerity } from './verity.ts'

/**
 * Makes the file system. The result holds `root.erofs`, `root.verity` and `verity.json` (a `Verity`).
 * The server's files are added last, behind everything else. When they alone have changed, the system's file system
 * comes from the cache, and its part of the disk keeps its bytes.
 */
export async function rootFilesystem(
  context: StageContext,
  parts: SystemParts & { bundle: ServerBundle },
): Promise<StageResult> {
  const { lock, cacheDir, onProgress } = context
  const { tools, bundle } = parts
  const { sourceDateEpoch } = lock
  const system = await systemFilesystem(context, parts)
  return runStage(cacheDir, {
    name: 'root',
    inputs: { keys: [tools.key, system.key], sourceDateEpoch, bundle: jsonDigest(bundle.files) },
    code: import.meta.filename,
    run: async (folder) => {
      onProgress('adding the server')
      await using work = temporaryFolder(cacheDir, 'root')
      // The root folder is named, because mkfs.erofs gives a folder that no archive names the mode 0777.
      const entries: TarEntry[] = [{ path: '', directory: true }, ...serverEntries(bundle)]
      await writeTar(join(work.path, 'server'), entries, sourceDateEpoch)
      await joinTars(join(work.path, 'server.tar'), [join(work.path, 'server')])
      const erofs = join(folder, 'root.erofs')
      copyFileSync(join(system.path, SYSTEM_EROFS), erofs, constants.COPYFILE_FICLONE)
      const sandbox = {
        tools: tools.path,
        sourceDateEpoch,
        readOnly: { '/layers': work.path },
        writable: { '/stage': folder },
        cwd: '/stage',
      }
      const seed = readSeed(system)
      await addToErofs(sandbox, { erofs: 'root.erofs', archive: '/layers/server.tar', seed })
      const verity = await makeVerity(sandbox, erofs, jsonDigest([seed, bundle.files]))
      writeFileSync(join(folder, 'verity.json'), JSON.stringify(verity))
    },
  })
}

function serverEntries({ files }: ServerBundle): TarEntry[] {
  return files.map(({ name, text }) => ({ path: `${SERVER_FOLDER.slice(1)}/${name}`, content: text }))
}
