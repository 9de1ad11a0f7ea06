// `mailfleet image lock`, `--update` and `--check`: parse, call one function of images/lock/, print.
import { existsSync } from 'node:fs'
import { relative } from 'node:path'
import { fetchDebs, objectFile, type FetchOptions } from '../images/archive/fetch.ts'
import { diffLocks, lockChanges } from '../images/lock/changes.ts'
import { checkLock } from '../images/lock/check.ts'
import { readLock, writeLock, type Lock } from '../images/lock-file.ts'
import { resolveLock } from '../images/lock/resolve.ts'
import { describeUpdate, updateText } from '../images/lock/update.ts'
import { readSpec } from '../images/spec.ts'
import { InputError } from '../input/problems.ts'
import type { Project } from './project.ts'
import { untilAborted } from './steps.ts'

type LockCommand = { project: Project; json: boolean; signal: AbortSignal; archive?: string }

/** Progress goes to standard error, so that the result on standard output can be piped. */
const onProgress = (line: string): void => console.error(line)

/** Locks anew what the spec asks for, and prints which versions changed. */
export async function lockWrite(o: LockCommand): Promise<number> {
  const { lockFile } = o.project
  const before = existsSync(lockFile) ? readLock(lockFile) : null
  const lock = await resolved(o)
  const differences = before === null ? [] : diffLocks(before, lock)
  writeLock(lockFile, lock)
  if (o.json) console.log(JSON.stringify({ file: lockFile, differences }, null, 2))
  else console.log(before === null ? `wrote ${lockFile}` : differences.join('\n') || 'nothing changed')
  return 0
}

/** Locks anew, fetches what changed, and prints what that brings. */
export async function lockUpdate(o: LockCommand): Promise<number> {
  const { lockFile, cacheDir } = o.project
  const before = readLock(lockFile)
  const lock = await resolved(o)
  const changed = lockChanges(before, lock).flatMap(({ to }) => (to && 'sha256' in to ? [to] : []))
  const once = new Map(changed.map((deb) => [deb.sha256, deb]))
  await untilAborted(fetchDebs([...once.values()], lock, fetching(o)), o.signal)
  const pathOf = (deb: (typeof changed)[number]) => objectFile(cacheDir, deb)
  const update = await untilAborted(describeUpdate(before, lock, { pathOf, cacheDir }), o.signal)
  writeLock(lockFile, lock)
  const differences = diffLocks(before, lock)
  if (o.json) console.log(JSON.stringify({ file: lockFile, differences, ...update }, null, 2))
  else console.log(updateText(update))
  return 0
}

/** Nothing is known: the mirror cannot be reached, or its answer cannot be read. */
const COULD_NOT_TELL = 3

/** Says whether the mirror has moved on from the lock: exit 1 when it has, 3 when it cannot tell. Writes no lock. */
export async function lockCheck(o: LockCommand): Promise<number> {
  const lock = readLock(o.project.lockFile)
  const fresh = await resolved(o).catch((error: unknown) => {
    if (error instanceof InputError || o.signal.aborted) throw error
    console.error((error as Error).message)
  })
  if (fresh === undefined) {
    console.error('could not tell whether the mirror has moved on')
    return COULD_NOT_TELL
  }
  const { differences, lost } = await untilAborted(checkLock(lock, fresh, fetching(o)), o.signal)
  const upToDate = differences.length === 0
  if (o.json) {
    const gone = (lost?.missing ?? []).map(({ file: { name, version }, answers }) => ({
      ...{ name, version, answers },
    }))
    console.log(JSON.stringify({ upToDate, differences, gone }, null, 2))
  } else console.log(checkText(relative(process.cwd(), o.project.lockFile), differences))
  if (lost) console.error(lost.message)
  return upToDate ? 0 : 1
}

function checkText(file: string, differences: readonly string[]): string {
  if (differences.length === 0) return `${file} is what the mirror gives`
  return [
    `the mirror has moved on from ${file}:`,
    ...differences.map((line) => `  ${line}`),
    'take it over: npx mailfleet image lock --update; then bake, test, and commit the lock',
  ].join('\n')
}

async function resolved({ project, signal }: LockCommand): Promise<Lock> {
  const { specFile, cacheDir, packageLockFile } = project
  return untilAborted(resolveLock(readSpec(specFile), { cacheDir, packageLockFile, onProgress }), signal)
}

function fetching({ project, archive }: LockCommand): FetchOptions {
  return { cacheDir: project.cacheDir, onProgress, ...(archive === undefined ? {} : { archive }) }
}
