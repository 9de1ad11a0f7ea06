// Fetches the files that a lock names, verified: from the cache first, then from each source. Owns: the check of each
// file's hash, npm's packages, and the error that lists missing files, what each source said, and the remedy.
// Fails with MissingPackagesError or FetchError, or with the disk's error.
import { existsSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { useHostProxy } from './http.ts'
import { fileFetcher, type SourceAnswer } from './fetch-file.ts'
import { objectNameOf, messageWithCauses, type LockedFile, type FileSource } from './file-source.ts'
import { debSources, configuredArchive, type FileSourceOptions } from './deb-sources.ts'
import { hashFile, objectPath, temporaryFolder } from '../cache.ts'
import { runProgram } from '../../platform/run-program.ts'
import { lockedDebs, type Lock, type LockedDeb, type LockedNpm } from '../lock-file.ts'
import type { OnProgress } from '../../platform/progress.ts'
import { moveIntoPlace } from '../../platform/atomic-file.ts'
import { inParallel } from '../../platform/parallel.ts'

export type FetchOptions = FileSourceOptions & {
  cacheDir: string
  onProgress?: OnProgress
  /** First pause between two attempts, doubled each time. */
  retryDelayMs?: number
}

/** The verified files of a lock. */
export type Fetched = {
  /** Path of a locked package's file in the cache. */
  path: (item: LockedFile) => string
  downloaded: number
  downloadedBytes: number
}

/** A file that could not be fetched, and each source's answer. */
export type MissingFile = { file: LockedFile; answers: readonly SourceAnswer[] }

/** Mirrors speak HTTP/1.1 and limit a client's connections; 6 fill a 1 Gb/s line with files this small. */
export const CONCURRENCY = 6
/** Files listed in an error: enough to recognise the cause. */
const MAX_LISTED = 10

/** Files of a lock that could not be fetched. */
export class FetchError extends Error {
  readonly missing: readonly MissingFile[]

  constructor(headline: string, missing: readonly MissingFile[], advice: readonly string[]) {
    const more = missing.length - MAX_LISTED
    const lines = missing
      .slice(0, MAX_LISTED)
      .flatMap(({ file, answers }) => [
        `  ${file.name} ${file.version}${'filename' in file ? ` (${file.filename})` : ''}`,
        ...answers.map(({ source, said }) => `    ${source}: ${said}`),
      ])
    super([headline, ...lines, ...(more > 0 ? [`  and ${more} more`] : []), ...advice].join('\n'))
    this.name = 'FetchError'
    this.missing = missing
  }
}

/** Locked packages that the mirror no longer has. A new lock helps. */
export class MissingPackagesError extends FetchError {
  constructor(missing: readonly MissingFile[]) {
    const are = missing.length === 1 ? 'package is' : 'packages are'
    super(
      `${missing.length} locked ${are} gone from the mirror and not in the cache, and can no longer be had:`,
      missing,
      [
        'What helps: MAILFLEET_ARCHIVE or --archive, naming an archive or a copy of a cache that has them;',
        'MAILFLEET_SNAPSHOT, naming a snapshot archive; or newer packages: npx mailfleet image lock --update',
      ],
    )
    this.name = 'MissingPackagesError'
  }
}

/**
 * Brings every file of a lock into the cache.
 * @throws {MissingPackagesError} when files are gone everywhere; {FetchError} when sources do not answer;
 * {InputError} when a setting names no source.
 */
export async function fetchLocked(lock: Lock, options: FetchOptions): Promise<Fetched> {
  const debs = await fetchDebs(lockedDebs(lock), lock, options)
  const npm = await fetchNpm([lock.node, ...lock.native], options)
  return {
    path: (file) => objectFile(options.cacheDir, file),
    downloaded: debs.downloaded + npm,
    downloadedBytes: debs.downloadedBytes,
  }
}

/** Brings some of a lock's packages into the cache. @throws as {@link fetchLocked} */
export async function fetchDebs(
  debs: readonly LockedDeb[],
  lock: Pick<Lock, 'sourceDateEpoch'>,
  options: FetchOptions,
): Promise<{ downloaded: number; downloadedBytes: number }> {
  const absent = await absentFiles(debs, options.cacheDir)
  if (absent.length === 0) return { downloaded: 0, downloadedBytes: 0 }
  const downloadedBytes = absent.reduce((sum, deb) => sum + deb.sizeBytes, 0)
  options.onProgress?.(`fetching ${absent.length} packages, ${(downloadedBytes / 1e6).toFixed(0)} MB`)
  await useHostProxy()
  const missing = await fetchFrom(absent, await debSources(lock, options), options)
  if (missing.length > 0) throw notFetched(missing)
  return { downloaded: absent.length, downloadedBytes }
}

/** Fetches files from `sources` and returns those that none of them delivered. */
export async function fetchFrom<F extends LockedFile>(
  files: readonly F[],
  sources: readonly FileSource[],
  options: Pick<FetchOptions, 'cacheDir' | 'retryDelayMs'> & { onObtained?: (file: F) => void },
): Promise<(MissingFile & { file: F })[]> {
  await using folder = temporaryFolder(options.cacheDir, 'fetch')
  const ask = fileFetcher(sources, { ...options, temporary: folder.path })
  const missing = new Map<F, SourceAnswer[]>()
  await inParallel(files, { concurrency: CONCURRENCY }, async (file) => {
    const answers = await ask(file)
    if (answers) missing.set(file, answers)
    else options.onObtained?.(file)
  })
  return files.flatMap((file) => {
    const answers = missing.get(file)
    return answers ? [{ file, answers }] : []
  })
}

/** Files that the cache lacks. A damaged file is removed, so that it is fetched again. */
export async function absentFiles<F extends LockedFile>(files: readonly F[], cacheDir: string): Promise<F[]> {
  const absent: F[] = []
  await inParallel(files, { concurrency: CONCURRENCY }, async (file) => {
    const path = objectFile(cacheDir, file)
    const { algorithm, hex } = objectNameOf(file)
    if (existsSync(path) && (await hashFile(path, algorithm)) === hex) return
    await rm(path, { force: true })
    absent.push(file)
  })
  return absent
}

/** Path of a locked file in the cache, whether it is there or not. */
export function objectFile(cacheDir: string, file: LockedFile): string {
  const { algorithm, hex } = objectNameOf(file)
  return objectPath(cacheDir, algorithm, hex)
}

/** MissingPackagesError when the mirror lacks every file. Else a source that did not answer may have them. */
function notFetched(missing: readonly MissingFile[]): FetchError {
  const gone = missing.every(({ answers }) => answers.some(({ role, gone }) => gone && role === 'mirror'))
  if (gone) return new MissingPackagesError(missing)
  const are = missing.length === 1 ? 'package' : 'packages'
  return new FetchError(`${missing.length} locked ${are} could not be fetched:`, missing, [
    'What helps: the network; MAILFLEET_MIRROR, naming another mirror; or MAILFLEET_ARCHIVE, naming an archive that has them.',
  ])
}

/** Fetches npm packages from the archive, then with npm, so that npm's registry, proxy and credentials apply. */
async function fetchNpm(items: readonly LockedNpm[], options: FetchOptions): Promise<number> {
  const absent = await absentFiles(items, options.cacheDir)
  if (absent.length === 0) return 0
  options.onProgress?.(`fetching ${absent.length} npm packages`)
  const archive = await configuredArchive(options)
  const missing =
    archive.length === 0
      ? absent.map((file) => ({ file, answers: [] }))
      : await fetchFrom(absent, archive, options)
  if (missing.length > 0) await packWithNpm(missing, options)
  return absent.length
}

async function packWithNpm(
  missing: readonly (MissingFile & { file: LockedNpm })[],
  { cacheDir }: FetchOptions,
): Promise<void> {
  await using folder = temporaryFolder(cacheDir, 'npm')
  const fail = (said: string, which = missing) => {
    const answered = which.map(({ file, answers }) => ({
      file,
      answers: [...answers, { role: 'npm' as const, source: 'npm', said, gone: false }],
    }))
    return new FetchError(
      `${which.length} locked npm ${which.length === 1 ? 'package' : 'packages'} could not be fetched:`,
      answered,
      [
        'What helps: the registry that npm is set to use; or MAILFLEET_ARCHIVE, naming an archive that has them.',
      ],
    )
  }
  const names = missing.map(({ file }) => `${file.name}@${file.version}`)
  try {
    const destination = `--pack-destination=${folder.path}`
    await runProgram(['npm', 'pack', ...names, destination, '--prefer-offline', '--ignore-scripts'])
  } catch (cause) {
    if (/ENOSPC|No space left/.test(String(cause))) throw cause
    throw fail(messageWithCauses(cause).split('\n').slice(-3).join(' '))
  }
  const files = new Map<string, string>()
  for (const name of readdirSync(folder.path)) {
    const file = join(folder.path, name)
    files.set(await hashFile(file, 'sha512'), file)
  }
  const wrong = missing.filter(({ file }) => !files.has(objectNameOf(file).hex))
  if (wrong.length > 0) throw fail('gave other bytes than the lock has', wrong)
  for (const { file } of missing) {
    moveIntoPlace(files.get(objectNameOf(file).hex) ?? '', objectFile(cacheDir, file))
  }
}
