// `mailfleet image archive push|pull`: parse, call one function of images/archive/, print.
import { onlyArchive, openArchive } from '../images/archive/archive.ts'
import { pullLocked, pushLocked, type Transfer } from '../images/archive/transfer.ts'
import { fetchLocked } from '../images/archive/fetch.ts'
import { readLock } from '../images/lock-file.ts'
import { InputError } from '../input/problems.ts'
import type { Project } from './project.ts'
import { untilAborted } from './steps.ts'

type ArchiveCommand = {
  project: Project
  signal: AbortSignal
  dryRun: boolean
  json: boolean
  target?: string
}

/** Progress goes to standard error, so that the result on standard output can be piped. */
const onProgress = (line: string): void => console.error(line)

/** Adds to the archive what it lacks of the lock. */
export async function archivePush(o: ArchiveCommand): Promise<number> {
  const { lockFile, cacheDir } = o.project
  const lock = readLock(lockFile)
  const archive = await openArchive(targetOf(o))
  const pushing = async () => {
    if (!o.dryRun) {
      await archive.prepare()
      await fetchLocked(lock, { cacheDir, onProgress })
    }
    return pushLocked(lock, archive, { cacheDir, dryRun: o.dryRun, onProgress })
  }
  print(o, await untilAborted(pushing(), o.signal), `into ${archive.name}`)
  return 0
}

/** Brings into the cache what it lacks of the lock. */
export async function archivePull(o: ArchiveCommand): Promise<number> {
  const { lockFile, cacheDir } = o.project
  const lock = readLock(lockFile)
  const archive = await onlyArchive(targetOf(o))
  const pulling = pullLocked(lock, archive, { cacheDir, dryRun: o.dryRun, onProgress })
  print(o, await untilAborted(pulling, o.signal), `from ${archive.name}`)
  return 0
}

/** @throws {InputError} when neither the command nor the environment names an archive. */
function targetOf({ target = process.env['MAILFLEET_ARCHIVE'] }: ArchiveCommand): string {
  if (target !== undefined && target !== '') return target
  throw new InputError('the command', [
    { key: 'target', found: 'nothing', expected: 'a directory or s3://bucket/prefix, or MAILFLEET_ARCHIVE' },
  ])
}

function print({ json }: ArchiveCommand, transfer: Transfer, where: string): void {
  const { files, moved, movedBytes, dryRun } = transfer
  if (json) console.log(JSON.stringify(transfer, null, 2))
  else {
    const verb = dryRun ? 'would be copied' : 'copied'
    console.log(`${moved} of ${files} files ${verb} ${where}, ${(movedBytes / 1e6).toFixed(1)} MB`)
  }
}
