// Frees space in the cache: drafts of builds that were killed, and old results of stages. Objects stay, because they
// are the archive of the lock. A stage that a running sandbox has mounted stays as well, however old it is.
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { pidNamespace, removeTree } from '../cache.ts'

/** A bake takes minutes, so a folder in tmp/ that is a day old is unused, whatever process its name holds. */
const TEMPORARY_MAX_AGE_MS = 24 * 60 * 60 * 1000
/** A result that no bake used for this long is removed. It is long enough for a release and its rollback. */
const STAGE_MAX_IDLE_MS = 14 * 24 * 60 * 60 * 1000
/** Results kept of each stage, the last used first. The largest, an extracted root, takes 220 MB. */
const STAGE_KEPT = 4
/** A bake takes minutes, so a result used within the hour may belong to a running bake. */
const STAGE_IN_USE_MS = 60 * 60 * 1000

/** Removes abandoned temporary folders and superseded results of stages. */
export async function pruneCache(cacheDir: string, nowMs: number = Date.now()): Promise<void> {
  const entries = (folder: string) =>
    existsSync(join(cacheDir, folder)) ? readdirSync(join(cacheDir, folder)) : []
  // The change time, because unpacking an archive sets a folder's modification time to the archive's.
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

/** Results to remove. The last few used of each stage stay, and so do all that were used within the hour. */
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

/** Names of stages that a process of this machine has in its mounts. */
function mountedStages(): Set<string> {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return new Set(
    pids.flatMap((pid) => {
      try {
        const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
        return [...mounts.matchAll(/\/stages\/([\w-]+)/g)].map(([, name = '']) => name)
      } catch {
        return [] // The process has ended, or its mounts are not readable for this user.
      }
    }),
  )
}

/** True when the process that made the folder ran here and has ended. */
function isAbandoned(name: string): boolean {
  const here = `${pidNamespace()}.`
  const pid = name.startsWith(here) ? Number(name.slice(here.length).split('.')[0]) : NaN
  return Number.isInteger(pid) && !existsSync(`/proc/${pid}`)
}
