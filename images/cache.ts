// The cache, outside the clone: objects by hash, stages by the hash of their inputs. Owns every path in it.
// Nothing half-written ever stands under its final name: a writer works in tmp/, syncs, then renames; when two
// writers race, the first rename wins and the second's work is thrown away. A killed writer leaves only tmp/.
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, existsSync, readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs'
import { mkdir, rm, utimes } from 'node:fs/promises'
import { homedir, hostname } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { makeFolder, moveIntoPlace } from '../platform/atomic-file.ts'
import { runProgram } from '../platform/run-program.ts'

/** After a day a folder in tmp/ belongs to nobody, whatever its name says: a whole bake takes minutes. */
const TEMPORARY_MAX_AGE_MS = 24 * 60 * 60 * 1000
/** A result nobody used for this long is dropped: long enough for a release and its rollback. */
const STAGE_MAX_IDLE_MS = 14 * 24 * 60 * 60 * 1000
/** Of each stage this many results are kept, those used last; the largest, a root extracted, takes 220 MB. */
const STAGE_KEPT = 4
/** A bake takes minutes: a result used within the hour may belong to one that is under way. */
const STAGE_IN_USE_MS = 60 * 60 * 1000

/** The cache of this user: `$MAILFLEET_CACHE`, else `$XDG_CACHE_HOME/mailfleet`, else `~/.cache/mailfleet`. */
export function defaultCacheDir(env: NodeJS.ProcessEnv = process.env): string {
  return env['MAILFLEET_CACHE'] ?? join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'mailfleet')
}

/** Where an object with this hash is, or would be. */
export function objectPath(cacheDir: string, algorithm: 'sha256' | 'sha512', hex: string): string {
  return join(cacheDir, 'objects', algorithm, hex.slice(0, 2), hex)
}

export type TemporaryFolder = { path: string } & AsyncDisposable

/** A folder of one's own inside the cache (so that a rename out of it is atomic), removed on disposal. */
export function temporaryFolder(cacheDir: string, name: string): TemporaryFolder {
  const suffix = randomBytes(4).toString('hex')
  const path = join(cacheDir, 'tmp', `${pidNamespace()}.${process.pid}.${name}.${suffix}`)
  makeFolder(path)
  return { path, [Symbol.asyncDispose]: () => removeTree(path) }
}

/** A package installation that was killed leaves files of the ids it was given: not ours to remove but as it made them. */
async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true })
  } catch (error) {
    if (process.getuid?.() === 0) throw error
    await runProgram(['unshare', '--map-root-user', '--map-auto', '--', 'rm', '--recursive', '--force', path])
  }
}

export type StageRun = {
  name: string
  /** Everything the result depends on: versions, hashes, arguments. Compared as JSON. */
  inputs: unknown
  /** Source files whose text is part of the inputs: a stage whose code changed is run again. */
  code: readonly string[]
  /** Fills the empty folder. */
  run: (folder: string) => Promise<void>
}
export type StageResult = { path: string; key: string; cached: boolean }

/** Runs a stage, unless the cache has its result already. */
export async function runStage(cacheDir: string, stage: StageRun): Promise<StageResult> {
  const key = stageKey(stage)
  const path = join(cacheDir, 'stages', `${stage.name}-${key.slice(0, 32)}`)
  if (existsSync(path)) {
    const now = new Date()
    await utimes(path, now, now)
    return { path, key, cached: true }
  }
  await using folder = temporaryFolder(cacheDir, stage.name)
  const work = join(folder.path, 'result')
  await mkdir(work)
  await stage.run(work)
  await runProgram(['sync', '--file-system', work])
  moveIntoPlace(work, path)
  return { path, key, cached: false }
}

function stageKey({ name, inputs, code }: StageRun): string {
  const hash = createHash('sha256').update(JSON.stringify([name, inputs]))
  for (const file of code) hash.update('\0').update(readFileSync(file))
  return hash.digest('hex')
}

/**
 * Drops what killed builds left behind, and old results of stages. Objects stay: they are the archive of the lock.
 * A stage that a running sandbox has mounted stays as well, however old.
 */
export async function pruneCache(cacheDir: string, nowMs: number = Date.now()): Promise<void> {
  const entries = (folder: string) =>
    existsSync(join(cacheDir, folder)) ? readdirSync(join(cacheDir, folder)) : []
  // Not mtime: unpacking an archive sets a folder's to what the archive says.
  const idleMs = (folder: string, name: string) =>
    nowMs - (statSync(join(cacheDir, folder, name), { throwIfNoEntry: false })?.ctimeMs ?? nowMs)
  const abandoned = entries('tmp').filter(
    (name) => isAbandoned(name) || idleMs('tmp', name) > TEMPORARY_MAX_AGE_MS,
  )
  const idle = entries('stages').map((name) => ({ name, idleMs: idleMs('stages', name) }))
  const old = supersededStages(idle)
  const mounted = old.length > 0 ? mountedStages() : new Set()
  const stale = [
    ...abandoned.map((name) => join(cacheDir, 'tmp', name)),
    ...old.filter((name) => !mounted.has(name)).map((name) => join(cacheDir, 'stages', name)),
  ]
  await Promise.all(stale.map(removeTree))
}

/** Which results to drop: of each stage the newest few stay, and all that were used within the hour. */
export function supersededStages(results: readonly { name: string; idleMs: number }[]): string[] {
  const byStage = Map.groupBy(results, ({ name }) => name.slice(0, name.lastIndexOf('-')))
  return [...byStage.values()].flatMap((group) =>
    group
      .toSorted((a, b) => a.idleMs - b.idleMs)
      .filter(
        ({ idleMs }, rank) => idleMs > STAGE_MAX_IDLE_MS || (rank >= STAGE_KEPT && idleMs > STAGE_IN_USE_MS),
      )
      .map(({ name }) => name),
  )
}

/** Names of stages that some process of this machine has in its mounts. */
function mountedStages(): Set<string> {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return new Set(
    pids.flatMap((pid) => {
      try {
        const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
        return [...mounts.matchAll(/\/stages\/([\w-]+)/g)].map(([, name = '']) => name)
      } catch {
        return [] // The process has ended, or is not ours to look at.
      }
    }),
  )
}

function isAbandoned(name: string): boolean {
  const here = `${pidNamespace()}.`
  const pid = name.startsWith(here) ? Number(name.slice(here.length).split('.')[0]) : NaN
  return Number.isInteger(pid) && !existsSync(`/proc/${pid}`)
}

/** Where a process id means something: this machine, and this namespace of it when several share the cache. */
function pidNamespace(): string {
  return `${hostname()}-${/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? ''}`
}

/** A file's hash in hex, read as a stream. */
export async function hashFile(file: string, algorithm: 'sha256' | 'sha512'): Promise<string> {
  const hash = createHash(algorithm)
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}
