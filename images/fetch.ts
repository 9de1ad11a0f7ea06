// Everything a lock names, on this machine and verified: the cache first, then the network.
// Owns: downloads, their retries and the check of each file's hash, on the way in and again when it is handed out.
// Fails with MissingPackagesError, which names every package that no place has any more, or with the network's error.
import { createHash } from 'node:crypto'
import { createWriteStream, existsSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { hashFile, objectPath, publish, temporaryFolder } from './cache.ts'
import { runHost } from './host.ts'
import { lockedDebs, type Lock, type LockedDeb, type LockedNpm } from './lock/lock.ts'
import { findMirrors, type Mirrors } from './lock/mirrors.ts'
import type { Progress } from './progress.ts'

export type FetchOptions = {
  cacheDir: string
  onProgress?: Progress
  mirrors?: Mirrors
  /** Base address of a copy of a cache's `objects` folder, asked before the mirror: `$MAILFLEET_ARCHIVE`. */
  archive?: string
  /** First pause between two attempts, doubled each time. */
  retryDelayMs?: number
}

/** The verified files of a lock. */
export type Fetched = {
  /** Path of a locked package's file in the cache. */
  path: (item: LockedDeb | LockedNpm) => string
  downloaded: number
  downloadedBytes: number
}

/** Fetches when a stage first needs a file: when every stage is cached, nothing is even looked at. */
export type Fetch = () => Promise<Fetched>

/** Mirrors speak HTTP/1.1 and limit a client's connections; 6 fill a 1 Gb/s line with files this small. */
const PARALLEL = 6
/** 4 attempts, pausing 0.5, 1 and 2 s: a mirror's hiccup, not its outage. */
const ATTEMPTS = 4
const RETRY_DELAY_MS = 500
/** No .deb here is larger than 40 MB; at 0.7 MB/s, the slowest line worth baking on, that is 60 s. */
const ATTEMPT_TIMEOUT_MS = 120_000

/** Locked packages that neither the cache nor a mirror has. */
export class MissingPackagesError extends Error {
  readonly missing: readonly LockedDeb[]

  constructor(missing: readonly LockedDeb[]) {
    const lines = missing.map(({ name, version, filename }) => `  ${name} ${version} (${filename})`)
    super(
      `${missing.length} locked package${missing.length === 1 ? ' is' : 's are'} gone from the mirror and not in the cache:\n` +
        `${lines.join('\n')}\n` +
        'Copy a cache that still has them, set MAILFLEET_ARCHIVE to a place that does, or lock anew.',
    )
    this.name = 'MissingPackagesError'
    this.missing = missing
  }
}

/**
 * Brings every file of a lock into the cache.
 * @throws {MissingPackagesError} when files are gone everywhere; {Error} when a place cannot be reached.
 */
export async function fetchLocked(lock: Lock, options: FetchOptions): Promise<Fetched> {
  const { cacheDir, onProgress = () => {} } = options
  const debs = lockedDebs(lock)
  const absent: LockedDeb[] = []
  await inParallel(debs, async (deb) => {
    if (!(await isIntact(objectPath(cacheDir, 'sha256', deb.sha256), 'sha256', deb.sha256))) absent.push(deb)
  })
  const missing: LockedDeb[] = []
  let downloadedBytes = 0
  if (absent.length > 0) {
    const places = {
      mirrors: options.mirrors ?? findMirrors(),
      archive: options.archive ?? process.env['MAILFLEET_ARCHIVE'],
    }
    const bytes = absent.reduce((sum, deb) => sum + deb.sizeBytes, 0)
    onProgress(`fetching ${absent.length} packages, ${(bytes / 1e6).toFixed(0)} MB`)
    await inParallel(absent, async (deb) => {
      const found = await download(deb, addresses(deb, places), options)
      if (found) downloadedBytes += deb.sizeBytes
      else missing.push(deb)
    })
  }
  if (missing.length > 0) throw new MissingPackagesError(missing)
  const npm = await fetchNpm([lock.node, ...lock.native], options)
  return {
    path: (item) =>
      'sha256' in item
        ? objectPath(cacheDir, 'sha256', item.sha256)
        : objectPath(cacheDir, 'sha512', hexOf(item)),
    downloaded: absent.length + npm,
    downloadedBytes,
  }
}

type Places = { mirrors: Mirrors; archive: string | undefined }

function addresses(deb: LockedDeb, { mirrors, archive }: Places): string[] {
  // '+' means a space to some servers, so apt sends it escaped, and so do we.
  const path = deb.filename.split('/').map(encodeURIComponent).join('/')
  const own =
    archive === undefined
      ? []
      : [`${archive.replace(/\/+$/, '')}/sha256/${deb.sha256.slice(0, 2)}/${deb.sha256}`]
  return [...own, `${mirrors[deb.archive]}/${path}`]
}

/** True when downloaded and verified, false when every address says the file is gone. */
async function download(deb: LockedDeb, urls: readonly string[], options: FetchOptions): Promise<boolean> {
  for (const url of urls) {
    if (await downloadFrom(url, deb, options)) return true
  }
  return false
}

async function downloadFrom(url: string, deb: LockedDeb, options: FetchOptions): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await attemptDownload(url, deb, options.cacheDir)
    } catch (cause) {
      if (attempt === ATTEMPTS) {
        const reason = cause instanceof Error ? causeChain(cause) : String(cause)
        throw new Error(`${deb.name} ${deb.version}: ${url}: ${reason}, ${ATTEMPTS} times`, { cause })
      }
      await sleep((options.retryDelayMs ?? RETRY_DELAY_MS) * 2 ** (attempt - 1))
    }
  }
}

async function attemptDownload(url: string, deb: LockedDeb, cacheDir: string): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(ATTEMPT_TIMEOUT_MS) })
  if (response.status === 404 || response.status === 410) {
    await response.body?.cancel()
    return false
  }
  if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`)
  await using folder = await temporaryFolder(cacheDir, 'fetch')
  const file = join(folder.path, deb.sha256)
  const hash = createHash('sha256')
  await pipeline(
    Readable.fromWeb(response.body),
    async function* (chunks: AsyncIterable<Uint8Array>) {
      for await (const chunk of chunks) {
        hash.update(chunk)
        yield chunk
      }
    },
    createWriteStream(file, { flush: true }),
  )
  const found = hash.digest('hex')
  if (found !== deb.sha256) throw new Error(`SHA-256 is ${found}, locked is ${deb.sha256}`)
  await publish(file, objectPath(cacheDir, 'sha256', deb.sha256))
  return true
}

/** npm packages through npm itself, so that its registry, proxy and credentials hold, from its own cache first. */
async function fetchNpm(
  items: readonly LockedNpm[],
  { cacheDir, onProgress }: FetchOptions,
): Promise<number> {
  const absent: LockedNpm[] = []
  for (const item of items) {
    if (!(await isIntact(objectPath(cacheDir, 'sha512', hexOf(item)), 'sha512', hexOf(item))))
      absent.push(item)
  }
  if (absent.length === 0) return 0
  onProgress?.(`fetching ${absent.length} npm packages`)
  await using folder = await temporaryFolder(cacheDir, 'npm')
  await runHost([
    'npm',
    'pack',
    ...absent.map(({ name, version }) => `${name}@${version}`),
    ...['--pack-destination', folder.path],
    '--prefer-offline',
    '--ignore-scripts',
  ])
  const files = new Map<string, string>()
  for (const name of readdirSync(folder.path)) {
    const file = join(folder.path, name)
    files.set(await hashFile(file, 'sha512'), file)
  }
  const wrong = absent.filter((item) => !files.has(hexOf(item)))
  if (wrong.length > 0) {
    const names = wrong.map(({ name, version }) => `${name}@${version}`).join(', ')
    throw new Error(`npm gave other bytes than the lock has for ${names}`)
  }
  for (const item of absent) {
    await publish(files.get(hexOf(item)) ?? '', objectPath(cacheDir, 'sha512', hexOf(item)))
  }
  return absent.length
}

const hexOf = ({ integrity }: LockedNpm) =>
  Buffer.from(integrity.slice('sha512-'.length), 'base64').toString('hex')

/** True when the file is there with the right content; one with other content is removed, so that it is fetched again. */
async function isIntact(file: string, algorithm: 'sha256' | 'sha512', hex: string): Promise<boolean> {
  if (!existsSync(file)) return false
  if ((await hashFile(file, algorithm)) === hex) return true
  await rm(file, { force: true })
  return false
}

async function inParallel<T>(items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values()
  const worker = async () => {
    for (const item of queue) await task(item)
  }
  const results = await Promise.allSettled(Array.from({ length: PARALLEL }, worker))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}

function causeChain(error: Error): string {
  return error.cause instanceof Error ? `${error.message} (${causeChain(error.cause)})` : error.message
}
