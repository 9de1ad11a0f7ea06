// The system's file system: Debian's packages, the kernel's modules, Node and our system files, all of the root but the
// server's own files. Owns: the order of the layers. Fails with InputError when the lint finds a forbidden file, else
// with the tool's own output.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SERVER_FOLDER, SPOOL_PATH } from '../../contract/image-paths.ts'
import { hashFile, runStage, temporaryFolder, type StageContext, type StageResult } from '../cache.ts'
import { copyMembers, listTar } from '../formats/tar-reader.ts'
import { fileEntry, joinTars, writeTar, type TarEntry } from '../formats/tar-writer.ts'
import { filesBelow } from '../../platform/files-below.ts'
import type { Spec } from '../spec.ts'
import { lintRoot } from './lint.ts'
import { addToErofs, jsonDigest, makeErofs } from './make-erofs.ts'
import { inReadOrder, pathsOf } from './read-order.ts'

const SYSTEM = join(import.meta.dirname, '../system')
const BOOT_FILES = join(import.meta.dirname, 'boot-files.txt')

/** Name of the file system in the stage's result. */
export const SYSTEM_EROFS = 'system.erofs'
const SEED = 'seed'

/** Stages whose results go into the root. */
export type SystemParts = {
  tools: StageResult
  base: StageResult
  kernel: StageResult
  runtime: StageResult
}

/**
 * Makes the file system, to which the server's files can be added. The result holds {@link SYSTEM_EROFS}, and in `seed`
 * the SHA-256 of its content as a tar. UUIDs and salts come from that seed and not from a stage's key. So the image's
 * digest stays the same when the bake's code changes and the files do not.
 */
export async function systemFilesystem(context: StageContext, parts: SystemParts): Promise<StageResult> {
  const { spec, lock, cacheDir, onProgress } = context
  const { tools, base, kernel, runtime } = parts
  const { sourceDateEpoch } = lock
  const system = systemEntries(spec)
  return runStage(cacheDir, {
    name: 'system',
    inputs: {
      keys: [tools.key, base.key, kernel.key, runtime.key],
      sourceDateEpoch,
      system: jsonDigest(system),
    },
    code: import.meta.filename,
    run: async (folder) => {
      onProgress('making the root file system')
      await using work = temporaryFolder(cacheDir, 'system')
      const draft = (name: string) => join(work.path, name)
      const entries = [...system, ...moduleEntries(kernel.path), ...runtimeEntries(runtime.path)]
      await writeTar(draft('layers.tar'), entries, sourceDateEpoch)
      await joinTars(draft('root.tar'), [join(base.path, 'root.tar'), draft('layers.tar')])
      const ours = system.map(({ path }) => path)
      await lintRoot(draft('root.tar'), ours)
      const readAtBoot = pathsOf(readFileSync(BOOT_FILES, 'utf8'))
      const [first, rest] = inReadOrder(await listTar(draft('root.tar')), readAtBoot)
      await copyMembers(draft('root.tar'), first, draft('first.tar'))
      await copyMembers(draft('root.tar'), rest, draft('rest.tar'))
      const sandbox = {
        tools: tools.path,
        sourceDateEpoch,
        readOnly: { '/layers': work.path },
        writable: { '/stage': folder },
        cwd: '/stage',
      }
      const seed = await hashFile(draft('root.tar'), 'sha256')
      writeFileSync(join(folder, SEED), seed)
      await makeErofs(sandbox, { erofs: SYSTEM_EROFS, archive: '/layers/first.tar', seed })
      await addToErofs(sandbox, { erofs: SYSTEM_EROFS, archive: '/layers/rest.tar', seed })
    },
  })
}

/** Reads the seed that {@link systemFilesystem} wrote. */
export const readSeed = (system: StageResult): string => readFileSync(join(system.path, SEED), 'utf8')

/** The files of images/system/, and the links that the spec's units need. */
function systemEntries(spec: Spec): TarEntry[] {
  const units = 'etc/systemd/system'
  const link = (path: string, target: string): TarEntry => ({ path, link: target })
  return [
    ...filesBelow(SYSTEM).map((path) => fileEntry(path, join(SYSTEM, path))),
    ...spec.units.mask.map((unit) => link(`${units}/${unit}`, '/dev/null')),
    ...Object.entries(spec.units.enable).flatMap(([target, enabled]) =>
      enabled.map((unit) => link(`${units}/${target}.wants/${unit}`, `/usr/lib/systemd/system/${unit}`)),
    ),
    link(`${units}/default.target`, '/usr/lib/systemd/system/multi-user.target'),
    link('etc/resolv.conf', '../run/systemd/resolve/stub-resolv.conf'),
    { path: 'dev', directory: true },
    { path: SPOOL_PATH.slice(1), directory: true, mode: 0o700, uid: spec.user.id, gid: spec.user.id },
  ]
}

function moduleEntries(kernel: string): TarEntry[] {
  const modules = join(kernel, 'modules')
  return filesBelow(modules).map((path) => ({ path: `usr/lib/modules/${path}`, file: join(modules, path) }))
}

/** Node and the native npm packages. */
function runtimeEntries(runtime: string): TarEntry[] {
  const packages = join(runtime, 'node_modules')
  return [
    { path: `${SERVER_FOLDER.slice(1)}/node`, file: join(runtime, 'node'), mode: 0o755 },
    ...filesBelow(packages).map((path) => ({
      path: `${SERVER_FOLDER.slice(1)}/node_modules/${path}`,
      file: join(packages, path),
    })),
  ]
}
