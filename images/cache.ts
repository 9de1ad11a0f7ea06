// The cache, outside the clone: objects by hash, results of stages by the hash of their inputs. Owns every path in it.
// A writer works in tmp/, syncs and renames, so nothing half-written has its final name. When two writers race, the first
// rename wins and the second result is discarded. A killed writer leaves files in tmp/ only.
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, existsSync, readlinkSync } from 'node:fs'
import { mkdir, rm, utimes } from 'node:fs/promises'
import { homedir, hostname } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { makeFolder, moveIntoPlace } from '../platform/atomic-file.ts'
import { closureDigest } from '../platform/import-closure.ts'
import type { OnProgress } from '../platform/progress.ts'
import { runProgram } from '../platform/run-program.ts'
import type { Lock, LockedDeb, LockedNpm } from './lock-file.ts'
import type { Spec } from './spec.ts'

/** The cache of this user: `$MAILFLEET_CACHE`, else `$XDG_CACHE_HOME/mailfleet`, else `~/.cache/mailfleet`. */
export function defaultCacheDir(env: NodeJS.ProcessEnv = process.env): string {
  return env['MAILFLEET_CACHE'] ?? join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'mailfleet')
}

/** Path of the object with this hash, whether it is there or not. */
export function objectPath(cacheDir: string, algorithm: 'sha256' | 'sha512', hex: string): string {
  return join(cacheDir, 'objects', algorithm, hex.slice(0, 2), hex)
}

export type TemporaryFolder = { path: string } & AsyncDisposable

/** A new folder inside the cache, so that a rename out of it is atomic. It is removed on disposal. */
export function temporaryFolder(cacheDir: string, name: string): TemporaryFolder {
  const suffix = randomBytes(4).toString('hex')
  const path = join(cacheDir, 'tmp', `${pidNamespace()}.${process.pid}.${name}.${suffix}`)
  makeFolder(path)
  return { path, [Symbol.asyncDispose]: () => removeTree(path) }
}

/**
 * Removes a folder. A killed package installation leaves files of the user's subordinate ids, which only root of the
 * same user namespace can remove.
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true })
  } catch (error) {
    if (process.getuid?.() === 0) throw error
    await runProgram(['unshare', '--map-root-user', '--map-auto', '--', 'rm', '--recursive', '--force', path])
  }
}

/** The verified files of a lock. */
export type LockedFiles = {
  /** Path of a locked package's file in the cache. */
  path: (file: LockedDeb | LockedNpm) => string
}

/** What the stages of one bake share. */
export type StageContext = {
  spec: Spec
  lock: Lock
  /** Fetches the lock's files when a stage first needs one. When every stage is cached, it is never called. */
  fetchFiles: () => Promise<LockedFiles>
  cacheDir: string
  onProgress: OnProgress
}

export type StageRun = {
  name: string
  /** Versions, hashes and arguments that the result depends on. Compared as JSON. */
  inputs: unknown
  /**
   * The stage's own module, `import.meta.filename`. The key covers its text and that of every file of ours that it
   * imports, so that a stage whose code changed runs again.
   */
  code: string
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
  return hash.update(closureDigest(code)).digest('hex')
}

/** The machine and its PID namespace, since several may share one cache and a process id is valid in one of them. */
export function pidNamespace(): string {
  return `${hostname()}-${/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? ''}`
}

/** A file's hash in hex, read as a stream. */
export async function hashFile(file: string, algorithm: 'sha256' | 'sha512'): Promise<string> {
  const hash = createHash(algorithm)
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}
