// Measures the time of a bake, and the share of the disk that a change of the server alone changes.
// Owns the choice of bakes and their caches. It changes neither the checkout nor the user's stages. Fails as a bake does.
import { cpSync, linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { execa } from 'execa'
import { filesBelow } from '../../../platform/files-below.ts'
import { buildImage, type BuildOptions, type BuiltImage } from '../../bake/bake.ts'
import { temporaryFolder } from '../../cache.ts'
import { IMAGE_LOCK } from '../../describe/manifest.ts'
import type { OnProgress } from '../../../platform/progress.ts'
import { changedBlocks, surveyDisk } from '../../publish/snapshot/blocks.ts'

export type BakeBench = {
  format: 1
  createdAt: string
  cpus: number
  /** Wall-clock time of a bake of unchanged inputs. */
  unchangedSeconds: number
  /** Wall-clock time of a bake after a change of the server's code. */
  appOnlySeconds: number
  /** Wall-clock time of a bake with every file downloaded and no stage cached. */
  fullCachedSeconds: number
  /** Blocks of 512 KiB of the disk that are not all zero. */
  blocks: number
  /** Blocks that differ after a change of the server's code. Only these would be uploaded. */
  deltaBlocks: number
  /** deltaBlocks ÷ blocks. */
  deltaBlocksShare: number
  /** Digests of two bakes from empty caches, in two folders, time zones, locales and umasks. */
  digests: [string, string]
  digestsEqual: boolean
}

export type BakeBenchOptions = Omit<BuildOptions, 'onProgress'> & {
  onProgress: OnProgress
  signal: AbortSignal
}

/** The second bake's environment. The image must not depend on it. */
const ELSEWHERE = {
  env: { TZ: 'Pacific/Kiritimati', LC_ALL: 'C', LANG: 'C', HOME: '/nonexistent', USER: 'nobody' },
  umask: 0o077,
}
/** The folders of the repository that the server imports. */
const SHARED_FOLDERS = ['contract', 'input', 'platform']
const BAKE_ELSEWHERE = join(import.meta.dirname, './bake-elsewhere.ts')

/** Bakes five times: like `mailfleet image build`, twice without cached stages, changed, and unchanged. */
export async function benchBake(o: BakeBenchOptions): Promise<BakeBench> {
  const { onProgress, signal, ...project } = o
  onProgress('baking, or finding baked, the image of this checkout')
  const image = await buildImage({ ...project, onProgress })
  await using work = temporaryFolder(project.cacheDir, 'bench')
  const lockFile = join(work.path, IMAGE_LOCK)
  cpSync(join(image.folder, IMAGE_LOCK), lockFile)
  const { specFile, serverEntry } = project
  const bakeIn = (folder: string): BuildOptions => ({
    specFile,
    serverEntry,
    lockFile,
    cacheDir: objectsOnly(project.cacheDir, join(work.path, folder)),
    outDir: join(work.path, folder, 'images'),
  })

  signal.throwIfAborted()
  const here = bakeIn('one')
  onProgress('baking it from nothing but its downloads')
  const full = await timed(() => buildImage(here))
  signal.throwIfAborted()
  onProgress('baking it from nothing in another folder, time zone, locale and umask')
  const second = await bakeElsewhere(bakeIn('another/folder, with a longer name'), signal)
  signal.throwIfAborted()
  onProgress('baking a change of the server')
  const changed = { ...here, serverEntry: changedServer(serverEntry, join(work.path, 'source')) }
  const app = await timed(() => buildImage(changed))
  signal.throwIfAborted()
  onProgress('baking it unchanged')
  const unchanged = await timed(() => buildImage(here))
  if (!unchanged.image.cached) throw new Error('an unchanged bake made something anew')
  const digests: [string, string] = [full.image.digest, second]
  const seconds = {
    unchangedSeconds: unchanged.seconds,
    appOnlySeconds: app.seconds,
    fullCachedSeconds: full.seconds,
  }
  return {
    format: 1,
    createdAt: new Date().toISOString(),
    cpus: cpus().length,
    ...seconds,
    ...(await delta(full.image, app.image, signal)),
    digests,
    digestsEqual: digests[0] === digests[1] && digests[0] === image.digest,
  }
}

async function delta(before: BuiltImage, after: BuiltImage, signal: AbortSignal) {
  const [old, now] = [await surveyDisk(before.disk, signal), await surveyDisk(after.disk, signal)]
  if (old.digest === now.digest) throw new Error('the change of the server changed nothing on the disk')
  const deltaBlocks = changedBlocks(old.blocks, now.blocks).length
  return { blocks: now.blocks.length, deltaBlocks, deltaBlocksShare: deltaBlocks / now.blocks.length }
}

/** A cache with every download and no stage. The files are hard links, which take no space on the same file system. */
function objectsOnly(cacheDir: string, folder: string): string {
  const [from, to] = [join(cacheDir, 'objects'), join(folder, 'cache/objects')]
  for (const path of filesBelow(from)) {
    mkdirSync(dirname(join(to, path)), { recursive: true })
    linkSync(join(from, path), join(to, path))
  }
  return join(folder, 'cache')
}

/** A copy of the server with one more statement in its main module. @returns the copy's main module. */
function changedServer(entry: string, to: string): string {
  const server = dirname(entry)
  const repository = dirname(server)
  for (const folder of [basename(server), ...SHARED_FOLDERS])
    cpSync(join(repository, folder), join(to, folder), { recursive: true })
  symlinkSync(join(repository, 'node_modules'), join(to, 'node_modules'))
  const copy = join(to, basename(server), basename(entry))
  writeFileSync(copy, `${readFileSync(copy, 'utf8')}\nprocess.title = 'a change of the server'\n`)
  return copy
}

/** @returns the digest. */
async function bakeElsewhere(o: BuildOptions, cancelSignal: AbortSignal): Promise<string> {
  const { stdout } = await execa(process.execPath, [BAKE_ELSEWHERE, JSON.stringify(o)], {
    cwd: '/',
    cancelSignal,
    env: { ...ELSEWHERE.env, BAKE_UMASK: String(ELSEWHERE.umask) },
    stderr: 'pipe',
  })
  return stdout.trim()
}

async function timed(work: () => Promise<BuiltImage>): Promise<{ image: BuiltImage; seconds: number }> {
  const startedMs = performance.now()
  const image = await work()
  return { image, seconds: Math.round(performance.now() - startedMs) / 1000 }
}
