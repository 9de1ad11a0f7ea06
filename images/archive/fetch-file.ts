// Fetches one file from the first source that has it into the cache, and checks its hash. Owns: attempts and pauses,
// when a source is no longer asked, and what each source answered. Fails only when the cache cannot be written: a
// source's failure is an answer, and the next source is tried.
import { createHash, randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { objectPath } from '../cache.ts'
import {
  objectNameOf,
  FileSourceError,
  messageWithCauses,
  type LockedFile,
  type ObjectName,
  type FileSource,
} from './file-source.ts'
import { moveIntoPlace } from '../../platform/atomic-file.ts'
import { withRetry } from '../../platform/retry.ts'

/** Why a source did not deliver a file. `gone`: the source has no such file. */
export type SourceAnswer = { role: FileSource['role'] | 'npm'; source: string; said: string; gone: boolean }

export type FetchFileOptions = {
  cacheDir: string
  /** A folder in the cache for unfinished files. */
  temporary: string
  /** First pause between two tries, doubled each time. */
  retryDelayMs?: number
}

/** 4 attempts, with pauses of 0.5, 1 and 2 s: enough for a mirror's short failure, not for an outage. */
const ATTEMPTS = 4
const RETRY_DELAY_MS = 500
/** Rate limits usually end within a minute. A source that asks for a longer pause is skipped. */
const MAX_RETRY_AFTER_MS = 60_000
/** After so many failed files in a row a source is not asked again. */
const GIVE_UP_AFTER = 3
/** Errors of the cache's own disk, which no other source can help with. */
const CACHE_DISK_ERROR = /^(ENOSPC|EDQUOT|EROFS|EFBIG)$/

/** A complete file with another hash. The source has other content, so a retry would fetch the same. */
class OtherContentError extends Error {}

/** Asks sources in order. It remembers over many files which of them do not answer. */
export function fileFetcher(sources: readonly FileSource[], o: FetchFileOptions) {
  const asked = sources.map((source) => ({ source, ask: withGivingUp(source, o) }))
  /** Undefined when the file is in the cache now, else each source's answer. */
  return async (file: LockedFile): Promise<SourceAnswer[] | undefined> => {
    const answers: SourceAnswer[] = []
    for (const { source, ask } of asked) {
      const answer = await ask(file)
      if (answer === undefined) return undefined
      answers.push({ role: source.role, source: source.name, ...answer })
    }
    return answers
  }
}

type Refusal = Pick<SourceAnswer, 'said' | 'gone'> | undefined

function withGivingUp(source: FileSource, o: FetchFileOptions): (file: LockedFile) => Promise<Refusal> {
  let failuresInARow = 0
  let last = ''
  const ask = async (file: LockedFile): Promise<Refusal> => {
    if (failuresInARow >= GIVE_UP_AFTER) return { said: `not asked again after: ${last}`, gone: false }
    const said = await fetchWithRetry(source, file, o)
    if (said === undefined || said.gone) failuresInARow = 0
    else {
      failuresInARow++
      last = said.said
    }
    return said
  }
  return source.oneAtATime === true ? oneAtATime(ask) : ask
}

async function fetchWithRetry(source: FileSource, file: LockedFile, o: FetchFileOptions): Promise<Refusal> {
  const firstPauseMs = o.retryDelayMs ?? RETRY_DELAY_MS
  try {
    return await withRetry(() => fetchOnce(source, file, o), {
      backOff: { attempts: ATTEMPTS, firstPauseMs, maxPauseMs: MAX_RETRY_AFTER_MS, jitter: 0 },
      afterFailure: (error) => (isFinal(error) ? 'fail' : { minPauseMs: retryAfterOf(error) }),
    })
  } catch (error) {
    if (isCacheDiskError(error)) throw error
    const said = messageWithCauses(error)
    if (error instanceof OtherContentError) return { said, gone: false }
    const waitSeconds = Math.ceil(retryAfterOf(error) / 1000)
    if (isFinal(error)) return { said: `${said}, come back in ${waitSeconds} s`, gone: false }
    return { said: `${said}, ${ATTEMPTS} times`, gone: false }
  }
}

async function fetchOnce(source: FileSource, file: LockedFile, o: FetchFileOptions): Promise<Refusal> {
  const stream = await source.open(file)
  if (stream === null) return { said: 'does not have it', gone: true }
  await store(stream, objectNameOf(file), o)
  return undefined
}

/** A retry does not help, or the source asks for too long a pause. */
function isFinal(error: unknown): boolean {
  return (
    isCacheDiskError(error) || error instanceof OtherContentError || retryAfterOf(error) > MAX_RETRY_AFTER_MS
  )
}

/** The pause that the source asks for, in ms; 0 when it asks for none. */
function retryAfterOf(error: unknown): number {
  return error instanceof FileSourceError ? (error.retryAfterMs ?? 0) : 0
}

function isCacheDiskError(error: unknown): boolean {
  return CACHE_DISK_ERROR.test((error as NodeJS.ErrnoException).code ?? '')
}

async function store(stream: Readable, object: ObjectName, o: FetchFileOptions): Promise<void> {
  const { algorithm, hex } = object
  const path = join(o.temporary, `${hex}.${randomBytes(4).toString('hex')}`)
  const hash = createHash(algorithm)
  try {
    await pipeline(
      stream,
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          hash.update(chunk)
          yield chunk
        }
      },
      createWriteStream(path, { flush: true }),
    )
    const found = hash.digest('hex')
    if (found !== hex) throw new OtherContentError(`${algorithm.toUpperCase()} is ${found}, locked is ${hex}`)
    moveIntoPlace(path, objectPath(o.cacheDir, algorithm, hex))
  } finally {
    await rm(path, { force: true })
  }
}

function oneAtATime<A, R>(work: (argument: A) => Promise<R>): (argument: A) => Promise<R> {
  let last: Promise<unknown> = Promise.resolve()
  return (argument) => {
    const mine = last.then(() => work(argument))
    last = mine.catch(() => {})
    return mine
  }
}
