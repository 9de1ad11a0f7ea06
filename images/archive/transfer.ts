// Copies the files that a lock names between the cache and an archive. Owns: that only missing files move, that each is
// checked in both directions, and the count. An interrupted run is continued by the next one.
// Fails with FetchError, or with the archive's or the disk's error.
import { createHash } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { absentFiles, CONCURRENCY, FetchError, fetchFrom, objectFile } from './fetch.ts'
import { lockedDebs, lockText, type Lock } from '../lock-file.ts'
import type { OnProgress } from '../../platform/progress.ts'
import { useHostProxy } from './http.ts'
import { objectNameOf, type Archive, type FileSource, type LockedFile } from './file-source.ts'
import { inParallel } from '../../platform/parallel.ts'

export type Transfer = {
  /** Files that the lock names. */
  files: number
  moved: number
  movedBytes: number
  /** In a dry run nothing moves, and the counts say what would move. */
  dryRun: boolean
}

type TransferOptions = {
  cacheDir: string
  dryRun: boolean
  onProgress: OnProgress
  /** First pause between two attempts, doubled each time. */
  retryDelayMs?: number
}

/** Every file that a lock names. */
const lockedFiles = (lock: Lock): LockedFile[] => [
  ...lockedDebs(lock),
  ...new Map([lock.node, ...lock.native].map((npm) => [npm.integrity, npm])).values(),
]

/**
 * Adds the files of a lock that the archive lacks, and the lock itself under its SHA-256. All files are in the cache.
 * @throws {Error} when a file of the cache is not what its name says.
 */
export async function pushLocked(lock: Lock, archive: Archive, o: TransferOptions): Promise<Transfer> {
  const files = lockedFiles(lock)
  const absent: LockedFile[] = []
  await inParallel(files, { concurrency: CONCURRENCY }, async (file) => {
    if (!(await archive.has(objectNameOf(file), sizeOf(file, o.cacheDir)))) absent.push(file)
  })
  const moved = tally(absent, o)
  if (!o.dryRun) {
    await inParallel(absent, { concurrency: CONCURRENCY }, async (file) => {
      const object = objectNameOf(file)
      const content = await readFile(objectFile(o.cacheDir, file))
      if (createHash(object.algorithm).update(content).digest('hex') !== object.hex) {
        throw new Error(`${file.name} ${file.version} is damaged in the cache: npx mailfleet image build`)
      }
      await archive.put(object, content)
      moved.add(content.length)
    })
    const text = lockText(lock)
    await archive.putLock(createHash('sha256').update(text).digest('hex'), text)
  }
  return { files: files.length, moved: absent.length, movedBytes: moved.bytes(), dryRun: o.dryRun }
}

/**
 * Copies the files of a lock that the cache lacks from the archive.
 * @throws {FetchError} naming every file that the archive does not have, or not intact.
 */
export async function pullLocked(lock: Lock, archive: FileSource, o: TransferOptions): Promise<Transfer> {
  const files = lockedFiles(lock)
  const absent = o.dryRun
    ? files.filter((file) => !existsSync(objectFile(o.cacheDir, file)))
    : await absentFiles(files, o.cacheDir)
  const moved = tally(absent, o)
  if (!o.dryRun && absent.length > 0) {
    await useHostProxy()
    const missing = await fetchFrom(absent, [archive], {
      ...o,
      onObtained: (file) => moved.add(sizeOf(file, o.cacheDir)),
    })
    if (missing.length > 0) {
      const are = missing.length === 1 ? 'file' : 'files'
      throw new FetchError(`the archive lacks ${missing.length} ${are} of the lock:`, missing, [
        'What helps: npx mailfleet image archive push, where they can still be had.',
      ])
    }
  }
  return { files: files.length, moved: absent.length, movedBytes: moved.bytes(), dryRun: o.dryRun }
}

/** npm's locks name no sizes, so the cache's file tells. */
function sizeOf(file: LockedFile, cacheDir: string): number {
  if ('sizeBytes' in file) return file.sizeBytes
  return statSync(objectFile(cacheDir, file), { throwIfNoEntry: false })?.size ?? 0
}

/** Counts moved files, and reports progress about ten times. */
function tally(files: readonly LockedFile[], { dryRun, cacheDir, onProgress }: TransferOptions) {
  const total = files.reduce((sum, file) => sum + sizeOf(file, cacheDir), 0)
  const every = Math.max(1, Math.ceil(files.length / 10))
  let [count, bytes] = [0, 0]
  return {
    add: (size: number) => {
      bytes += size
      if (++count % every === 0)
        onProgress(`${count} of ${files.length} files, ${(bytes / 1e6).toFixed(0)} MB`)
    },
    bytes: () => (dryRun ? total : bytes),
  }
}
