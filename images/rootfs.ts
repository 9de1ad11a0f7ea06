// The root file system: Debian's packages, the kernel's modules, our system files and the application, as one
// read-only erofs, and the dm-verity tree over it. Owns: the order of the layers and the two files' parameters,
// which make equal layers give equal bytes.
import { createHash } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { appEntries, filesBelow, type Bundle } from './app.ts'
import { runStage, temporaryFolder, type StageResult } from './cache.ts'
import { lintRoot } from './lint.ts'
import type { Lock } from './lock/lock.ts'
import type { Progress } from './progress.ts'
import type { Spec } from './spec.ts'
import { fileEntry, joinTars, writeTar, type TarEntry } from './tar.ts'
import { runTool } from './tools.ts'

const SYSTEM = join(import.meta.dirname, 'system')
/** erofs compresses in clusters of this size: larger packs better and reads more for one page. */
const CLUSTER_BYTES = 16384
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
  onProgress: Progress
}

/** What the kernel must be told to verify the root. */
export type Verity = { rootHash: string; salt: string; dataBlocks: number }

/** Makes the file system. The result holds `root.erofs`, `root.verity` and `verity.json` ({@link Verity}). */
export async function rootFilesystem(inputs: RootInputs): Promise<StageResult> {
  const { spec, lock, tools, base, kernel, runtime, bundle, cacheDir, onProgress } = inputs
  const system = systemEntries(spec)
  const bundleHash = createHash('sha256').update(JSON.stringify(bundle.files)).digest('hex')
  return runStage(cacheDir, {
    name: 'root',
    inputs: {
      keys: [tools.key, base.key, kernel.key, runtime.key],
      sourceDateEpoch: lock.sourceDateEpoch,
      bundle: bundleHash,
      system: createHash('sha256').update(JSON.stringify(system)).digest('hex'),
    },
    code: ['rootfs', 'lint', 'tar', 'tar-reader'].map((name) => join(import.meta.dirname, `${name}.ts`)),
    run: async (folder) => {
      onProgress('making the root file system')
      await using work = await temporaryFolder(cacheDir, 'root')
      const entries = [...system, ...moduleEntries(kernel.path), ...appEntries(runtime.path, bundle)]
      await writeTar(join(work.path, 'layers.tar'), entries, lock.sourceDateEpoch)
      await joinTars(join(work.path, 'root.tar'), [
        join(base.path, 'root.tar'),
        join(work.path, 'layers.tar'),
      ])
      await lintRoot(
        join(work.path, 'root.tar'),
        system.map(({ path }) => path),
      )
      const sandbox = {
        tools: tools.path,
        sourceDateEpoch: lock.sourceDateEpoch,
        readOnly: { '/layers': work.path },
        writable: { '/stage': folder },
        cwd: '/stage',
      }
      // Identifiers are taken from what goes in, so that they are the same for the same image and for no other.
      const seed = createHash('sha256')
        .update([base.key, kernel.key, runtime.key, bundleHash].join())
        .digest('hex')
      await runTool(sandbox, mkfsArguments(lock.sourceDateEpoch, uuidFrom(seed)))
      const verity = await makeVerity(sandbox, join(folder, 'root.erofs'), seed)
      writeFileSync(join(folder, 'verity.json'), JSON.stringify(verity))
    },
  })
}

function mkfsArguments(sourceDateEpoch: number, uuid: string): string[] {
  return [
    'mkfs.erofs',
    '--quiet',
    '--tar=f',
    '-zlz4hc,9',
    `-C${CLUSTER_BYTES}`,
    `-T${sourceDateEpoch}`,
    '--all-time',
    ...['-U', uuid],
    'root.erofs',
    '/layers/root.tar',
  ]
}

async function makeVerity(
  sandbox: Parameters<typeof runTool>[0],
  erofs: string,
  seed: string,
): Promise<Verity> {
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
