// `mailfleet image lock`, `--update` and `--check`: resolves the spec against the mirror, and prints what changed.
import { existsSync } from 'node:fs'
import { relative } from 'node:path'
import { Option, type Command } from 'commander'
import { fetchDebs, objectFile, type FetchOptions } from '../../../images/archive/fetch.ts'
import { diffLocks, lockChanges } from '../../../images/lock/changes.ts'
import { checkLock } from '../../../images/lock/check.ts'
import { readLock, writeLock, type Lock } from '../../../images/lock-file.ts'
import { resolveLock } from '../../../images/lock/resolve.ts'
import { describeUpdate, updateText } from '../../../images/lock/update.ts'
import { readSpec } from '../../../images/spec.ts'
import { InputError } from '../../../input/problems.ts'
import {
  ARCHIVE,
  architectureOption,
  imageOptions,
  progressOnStderr,
  type CommandContext,
  type CommonOptions,
  type ImageFlags,
} from '../../options.ts'
import { untilAborted } from '../../steps.ts'

type LockCommand = CommonOptions & { archive?: string }

const onProgress = progressOnStderr

export default function addLock(image: Command, context: CommandContext): void {
  image
    .command('lock')
    .description('resolve the spec against the mirror and write images/image.lock.json')
    .addOption(
      new Option('--update', 'also print what each change brings: changelogs, CVEs').conflicts('check'),
    )
    .option(
      '--check',
      'write no lock; exit 1 if the mirror has moved on, and name what is gone from it; exit 3 if that cannot be told',
    )
    .addOption(architectureOption())
    .option(...ARCHIVE)
    .option('--json', 'print the differences as JSON')
    .action(async (flags: ImageFlags & { update?: true; check?: true }) => {
      if (flags.archive !== undefined && !flags.update && !flags.check)
        throw new InputError('image lock', [
          { key: '--archive', found: flags.archive, expected: '--update or --check beside it' },
        ])
      const run = flags.check ? lockCheck : flags.update ? lockUpdate : lockWrite
      process.exitCode = await run(imageOptions(context, flags))
    })
}

/** Writes a new lock, and prints which versions changed. */
async function lockWrite(o: LockCommand): Promise<number> {
  const { lockFile } = o.project
  const before = existsSync(lockFile) ? readLock(lockFile) : null
  const lock = await resolved(o)
  const differences = before === null ? [] : diffLocks(before, lock)
  writeLock(lockFile, lock)
  if (o.json) console.log(JSON.stringify({ file: lockFile, differences }, null, 2))
  else console.log(before === null ? `wrote ${lockFile}` : differences.join('\n') || 'nothing changed')
  return 0
}

/** Writes a new lock, fetches what changed, and prints what that brings. */
async function lockUpdate(o: LockCommand): Promise<number> {
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

/** The mirror cannot be reached, or its answer cannot be read. */
const COULD_NOT_TELL = 3

/** Exit 1 when the mirror has moved on from the lock, 3 when that cannot be told. Writes no lock. */
async function lockCheck(o: LockCommand): Promise<number> {
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
    const gone = (lost?.missing ?? []).map(({ file: { name, version }, answers }) => {
      return { name, version, answers }
    })
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
