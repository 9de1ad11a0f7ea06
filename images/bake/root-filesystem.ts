// The root file system: Debian's packages, the kernel's modules, our system files and the application, as one
// read-only erofs, and the dm-verity tree over it. Owns: the order of the layers and the two files' parameters,
// which make equal layers give equal bytes.
import { createHash } from 'node:crypto'
import { constants, copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { filesBelow, runtimeEntries, serverEntries, type Bundle } from './application.ts'
import { runStage, temporaryFolder, type StageResult } from '../cache.ts'
import { lintRoot } from './lint.ts'
import type { Lock } from '../lock-file.ts'
import type { OnProgress } from '../../platform/progress.ts'
import { inReadOrder, pathsOf } from './read-order.ts'
import type { Spec } from '../spec.ts'
import { fileEntry, joinTars, writeTar, type TarEntry } from '../formats/tar-writer.ts'
import { copyMembers, listTar } from '../formats/tar-reader.ts'
import { runTool, type Sandbox } from './tools-tree.ts'

const SYSTEM = join(import.meta.dirname, '../system')
const BOOT_FILES = join(import.meta.dirname, 'boot-files.txt')
/** Beside lz4hc a fifth fewer blocks to read, and no slower to boot (docs/decisions/041-boot.md). */
const COMPRESSION = '-zzstd,9'
/** erofs compresses in clusters of this size: larger packs better and reads more for one page. */
const CLUSTER_BYTES = 65536
const BLOCK_BYTES = 4096

export type RootInputs = {
  spec: Spec
  lock: Lock
  tools: StageResult
  base: StageResult
  kernel: StageResult
  runtime: StageResult
  bundle: Bundle
  cacheDir: string
  onProgress: OnProgress
}

/** What the kernel must be told to verify the root. */
export type Verity = { rootHash: string; salt: string; dataBlocks: number }

/**
 * Makes the file system. The result holds `root.erofs`, `root.verity` and `verity.json` ({@link Verity}). The server's
 * files are added last and behind everything else: where they alone have changed, the rest is found made, and the
 * disk before them keeps its bytes.
 */
export async function rootFilesystem(inputs: RootInputs): Promise<StageResult> {
  const { lock, tools, bundle, cacheDir, onProgress } = inputs
  const system = await systemFilesystem(inputs)
  const seed = digestOf([system.key, bundle.files])
  return runStage(cacheDir, {
    name: 'root',
    inputs: { keys: [tools.key, system.key], sourceDateEpoch: lock.sourceDateEpoch, bundle: seed },
    code: [import.meta.filename, join(import.meta.dirname, '../formats/tar-writer.ts')],
    run: async (folder) => {
      onProgress('adding the server')
      await using work = temporaryFolder(cacheDir, 'root')
      // The root's own folder too: one that an archive does not name, mkfs.erofs gives the mode 0777.
      const entries: TarEntry[] = [{ path: '', directory: true }, ...serverEntries(bundle)]
      await writeTar(join(work.path, 'server'), entries, lock.sourceDateEpoch)
      await joinTars(join(work.path, 'server.tar'), [join(work.path, 'server')])
      copyFileSync(join(system.path, SYSTEM_EROFS), join(folder, 'root.erofs'), constants.COPYFILE_FICLONE)
      const sandbox = sandboxOf(inputs, work.path, folder)
      await runTool(sandbox, mkfsArguments(inputs, system.key, 'root.erofs', 'server.tar', true))
      const verity = await makeVerity(sandbox, join(folder, 'root.erofs'), seed)
      writeFileSync(join(folder, 'verity.json'), JSON.stringify(verity))
    },
  })
}

const SYSTEM_EROFS = 'system.erofs'

/** All of the root but the server's own files, as a file system to which they can be added. */
async function systemFilesystem(inputs: RootInputs): Promise<StageResult> {
  const { spec, lock, tools, base, kernel, runtime, cacheDir, onProgress } = inputs
  const system = systemEntries(spec)
  const readAtBoot = pathsOf(readFileSync(BOOT_FILES, 'utf8'))
  return runStage(cacheDir, {
    name: 'system',
    inputs: {
      keys: [tools.key, base.key, kernel.key, runtime.key],
      sourceDateEpoch: lock.sourceDateEpoch,
      system: digestOf(system),
      readAtBoot,
    },
    code: [
      'bake/root-filesystem',
      'bake/lint',
      'bake/read-order',
      'formats/tar-writer',
      'formats/tar-reader',
    ].map((name) => join(import.meta.dirname, '..', `${name}.ts`)),
    run: async (folder) => {
      onProgress('making the root file system')
      await using work = temporaryFolder(cacheDir, 'system')
      const place = (name: string) => join(work.path, name)
      const entries = [...system, ...moduleEntries(kernel.path), ...runtimeEntries(runtime.path)]
      await writeTar(place('layers.tar'), entries, lock.sourceDateEpoch)
      await joinTars(place('root.tar'), [join(base.path, 'root.tar'), place('layers.tar')])
      const ours = system.map(({ path }) => path)
      await lintRoot(place('root.tar'), ours)
      const [first, rest] = inReadOrder(await listTar(place('root.tar')), readAtBoot)
      await copyMembers(place('root.tar'), first, place('first.tar'))
      await copyMembers(place('root.tar'), rest, place('rest.tar'))
      // Named by what goes in, so that the same file system has the same name, and no other has it.
      const seed = digestOf([base.key, kernel.key, runtime.key, system])
      const sandbox = sandboxOf(inputs, work.path, folder)
      await runTool(sandbox, mkfsArguments(inputs, seed, SYSTEM_EROFS, 'first.tar', false))
      await runTool(sandbox, mkfsArguments(inputs, seed, SYSTEM_EROFS, 'rest.tar', true))
    },
  })
}

const digestOf = (value: unknown) => createHash('sha256').update(JSON.stringify(value)).digest('hex')

function sandboxOf({ tools, lock }: RootInputs, layers: string, stage: string): Sandbox {
  return {
    tools: tools.path,
    sourceDateEpoch: lock.sourceDateEpoch,
    readOnly: { '/layers': layers },
    writable: { '/stage': stage },
    cwd: '/stage',
  }
}

/** @param added the archive's content is put behind what the file system already has, of which nothing moves. */
function mkfsArguments(
  { lock }: RootInputs,
  seed: string,
  erofs: string,
  archive: string,
  added: boolean,
): string[] {
  return [
    'mkfs.erofs',
    '--quiet',
    '--tar=f',
    ...(added ? ['--incremental=data'] : []),
    COMPRESSION,
    `-C${CLUSTER_BYTES}`,
    `-T${lock.sourceDateEpoch}`,
    '--all-time',
    ...['-U', uuidFrom(digestOf(seed))],
    erofs,
    `/layers/${archive}`,
  ]
}

async function makeVerity(sandbox: Sandbox, erofs: string, seed: string): Promise<Verity> {
  const salt = createHash('sha256').update(`salt ${seed}`).digest('hex')
  const output = await runTool(sandbox, [
    'veritysetup',
    'format',
    ...['--hash', 'sha256'],
    ...['--data-block-size', String(BLOCK_BYTES)],
    ...['--hash-block-size', String(BLOCK_BYTES)],
    ...['--salt', salt],
    ...['--uuid', uuidFrom(createHash('sha256').update(`verity ${seed}`).digest('hex'))],
    'root.erofs',
    'root.verity',
  ])
  const rootHash = /^Root hash:\s+([0-9a-f]{64})$/m.exec(output)?.[1]
  if (rootHash === undefined) throw new Error(`veritysetup printed no root hash:\n${output}`)
  return { rootHash, salt, dataBlocks: statSync(erofs).size / BLOCK_BYTES }
}

/** Reads back what {@link rootFilesystem} wrote. */
export function readVerity(root: StageResult): Verity {
  return JSON.parse(readFileSync(join(root.path, 'verity.json'), 'utf8')) as Verity
}

/** 32 hex digits as a UUID. */
export function uuidFrom(hex: string): string {
  return hex.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** Our own files of the system: images/system/ as it lies there, and what the spec says of units. */
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
    { path: 'var/spool/mailfleet', directory: true, mode: 0o700, uid: spec.user.id, gid: spec.user.id },
  ]
}

function moduleEntries(kernel: string): TarEntry[] {
  const modules = join(kernel, 'modules')
  return filesBelow(modules).map((path) => ({ path: `usr/lib/modules/${path}`, file: join(modules, path) }))
}
