// One file from the first place that has it, into the cache, checked by its hash. Owns: tries and the pauses between
// them, when a place is no longer asked, and what each place answered. Fails only when the cache cannot be written:
// a place's failure is an answer, and the next place is asked.
import { createHash, randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { objectPath } from '../cache.ts'
import { objectOf, PlaceError, reasonOf, type LockedFile, type ObjectName, type Place } from './place.ts'
import { moveIntoPlace } from '../../platform/atomic-file.ts'

/** What a place said to a file that it did not give. `gone`: that it has no such file. */
export type Answer = { role: Place['role'] | 'npm'; place: string; said: string; gone: boolean }

export type Obtaining = {
  cacheDir: string
  /** A folder in the cache, for what is under way. */
  temporary: string
  /** First pause between two tries, doubled each time. */
  retryDelayMs?: number
}

/** 4 tries, pausing 0.5, 1 and 2 s: a mirror's hiccup, not its outage. */
const ATTEMPTS = 4
const RETRY_DELAY_MS = 500
/** A limit on requests is lifted within a minute or so; what asks for more patience is passed by. */
const MAX_RETRY_AFTER_MS = 60_000
/** So many files in a row for which a place did not answer: it will not for the others, and is spared the asking. */
const GIVE_UP_AFTER = 3
/** The cache's own disk, not the place, is the reason: no other place can help. */
const LOCAL_DISK = /^(ENOSPC|EDQUOT|EROFS|EFBIG)$/

/** A whole file with another hash: the place has other content, and gives it again when asked again. */
class OtherContentError extends Error {}

/** Asks places in order. Remembers, over many files, which of them do not answer. */
export function asker(places: readonly Place[], o: Obtaining) {
  const asked = places.map((place) => ({ place, ask: patiently(place, o) }))
  /** Undefined when the file is in the cache now, else what each place said. */
  return async (file: LockedFile): Promise<Answer[] | undefined> => {
    const answers: Answer[] = []
    for (const { place, ask } of asked) {
      const answer = await ask(file)
      if (answer === undefined) return undefined
      answers.push({ role: place.role, place: place.name, ...answer })
    }
    return answers
  }
}

type Said = Pick<Answer, 'said' | 'gone'> | undefined

function patiently(place: Place, o: Obtaining): (file: LockedFile) => Promise<Said> {
  let failuresInARow = 0
  let last = ''
  const ask = async (file: LockedFile): Promise<Said> => {
    if (failuresInARow >= GIVE_UP_AFTER) return { said: `not asked again after: ${last}`, gone: false }
    const said = await tries(place, file, o)
    if (said === undefined || said.gone) failuresInARow = 0
    else {
      failuresInARow++
      last = said.said
    }
    return said
  }
  return place.oneAtATime === true ? inTurn(ask) : ask
}

async function tries(place: Place, file: LockedFile, o: Obtaining): Promise<Said> {
  for (let attempt = 1; ; attempt++) {
    try {
      const stream = await place.open(file)
      if (stream === null) return { said: 'does not have it', gone: true }
      await store(stream, objectOf(file), o)
      return undefined
    } catch (error) {
      if (LOCAL_DISK.test((error as NodeJS.ErrnoException).code ?? '')) throw error
      const said = reasonOf(error)
      if (error instanceof OtherContentError) return { said, gone: false }
      const wantedMs = error instanceof PlaceError ? (error.retryAfterMs ?? 0) : 0
      if (wantedMs > MAX_RETRY_AFTER_MS)
        return { said: `${said}, come back in ${Math.ceil(wantedMs / 1000)} s`, gone: false }
      if (attempt === ATTEMPTS) return { said: `${said}, ${ATTEMPTS} times`, gone: false }
      await sleep(Math.max(wantedMs, (o.retryDelayMs ?? RETRY_DELAY_MS) * 2 ** (attempt - 1)))
    }
  }
}

async function store(stream: Readable, object: ObjectName, o: Obtaining): Promise<void> {
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

function inTurn<A, R>(work: (argument: A) => Promise<R>): (argument: A) => Promise<R> {
  let last: Promise<unknown> = Promise.resolve()
  return (argument) => {
    const mine = last.then(() => work(argument))
    last = mine.catch(() => {})
    return mine
  }
}
