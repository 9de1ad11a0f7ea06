// Where a lock's files are looked for, in order: the archive of one's own, the mirror, the snapshot archive. Owns: the
// order, and each package's addresses. Fails with InputError when the archive's setting is wrong.
import type { Lock, LockedDeb } from '../lock-file.ts'
import { findMirrors, type Mirrors } from '../lock/mirrors.ts'
import { archivePlace } from './archive.ts'
import { openHttp } from './http.ts'
import type { Place } from './place.ts'

export type PlaceOptions = {
  /** A directory, file://, http(s):// or s3://bucket/prefix; `$MAILFLEET_ARCHIVE` by default. */
  archive?: string
  mirrors?: Mirrors
  /** Base address of a snapshot archive, above its `archive/` folder; `$MAILFLEET_SNAPSHOT` by default. */
  snapshot?: string
  /** A connection that gives no byte for this long is given up. */
  stallMs?: number
}

const DAY_SECONDS = 24 * 60 * 60

/** The archive of one's own, or none. @throws {InputError} */
export async function ownArchive({
  archive = process.env['MAILFLEET_ARCHIVE'],
}: PlaceOptions): Promise<Place[]> {
  return archive === undefined || archive === '' ? [] : [await archivePlace(archive)]
}

/** All places that may have a lock's packages, in the order they are asked. @throws {InputError} */
export async function debPlaces(
  lock: Pick<Lock, 'sourceDateEpoch'>,
  options: PlaceOptions,
): Promise<Place[]> {
  const { snapshot = process.env['MAILFLEET_SNAPSHOT'], stallMs } = options
  return [
    ...(await ownArchive(options)),
    mirrorPlace(options.mirrors ?? findMirrors(), stallMs),
    ...(snapshot === undefined || snapshot === ''
      ? []
      : [snapshotPlace(snapshot, lock.sourceDateEpoch, stallMs)]),
  ]
}

function mirrorPlace(mirrors: Mirrors, stallMs?: number): Place {
  return {
    role: 'mirror',
    name: `mirror ${mirrors.debian}`,
    open: async (file) =>
      'archive' in file ? openHttp(`${mirrors[file.archive]}/${escaped(file)}`, stallMs) : null,
  }
}

/**
 * A snapshot archive keeps the whole archive as it was at a time, and answers for the last import before the time it is
 * asked for. What a Release names is imported after its date, and stays in the pool for longer than a day: so the day after is asked as well.
 */
function snapshotPlace(base: string, sourceDateEpoch: number, stallMs?: number): Place {
  return {
    role: 'snapshot',
    name: `snapshot ${base}`,
    oneAtATime: true,
    open: async (file) => {
      if (!('archive' in file)) return null
      for (const seconds of [sourceDateEpoch, sourceDateEpoch + DAY_SECONDS]) {
        const found = await openHttp(snapshotAddress(base, seconds, file), stallMs)
        if (found) return found
      }
      return null
    },
  }
}

/** Address of a package in a snapshot archive: `BASE/archive/debian/YYYYMMDDTHHMMSSZ/pool/…`. */
export function snapshotAddress(base: string, epochSeconds: number, deb: LockedDeb): string {
  const time = new Date(epochSeconds * 1000).toISOString().replace(/[-:]|\.\d+/g, '')
  const archive = deb.archive === 'security' ? 'debian-security' : 'debian'
  return `${base.replace(/\/+$/, '')}/archive/${archive}/${time}/${escaped(deb)}`
}

/** '+' means a space to some servers, so apt sends it escaped, and so do we. */
const escaped = ({ filename }: LockedDeb) => filename.split('/').map(encodeURIComponent).join('/')
