// The sources that a lock's files are fetched from, in order: the user's own archive, the mirror, the snapshot archive.
// Owns: the order, and each package's addresses. Fails with InputError when the archive's setting is wrong.
import type { Lock, LockedDeb } from '../lock-file.ts'
import { findMirrors, type Mirrors } from './mirrors.ts'
import { archiveSource } from './archive.ts'
import { openHttp } from './http.ts'
import type { FileSource } from './file-source.ts'

export type FileSourceOptions = {
  /** A directory, file://, http(s):// or s3://bucket/prefix; `$MAILFLEET_ARCHIVE` by default. */
  archive?: string
  mirrors?: Mirrors
  /** Base address of a snapshot archive, above its `archive/` folder; `$MAILFLEET_SNAPSHOT` by default. */
  snapshot?: string
  /** Time without a byte after which a connection is closed. */
  stallMs?: number
}

const DAY_SECONDS = 24 * 60 * 60

/** The user's own archive, or an empty list. @throws {InputError} */
export async function configuredArchive({
  archive = process.env['MAILFLEET_ARCHIVE'],
}: FileSourceOptions): Promise<FileSource[]> {
  return archive === undefined || archive === '' ? [] : [await archiveSource(archive)]
}

/** All sources that may have a lock's packages, in the order of use. @throws {InputError} */
export async function debSources(
  lock: Pick<Lock, 'sourceDateEpoch'>,
  options: FileSourceOptions,
): Promise<FileSource[]> {
  const { snapshot = process.env['MAILFLEET_SNAPSHOT'], stallMs } = options
  return [
    ...(await configuredArchive(options)),
    mirrorSource(options.mirrors ?? findMirrors(), stallMs),
    ...(snapshot === undefined || snapshot === ''
      ? []
      : [snapshotSource(snapshot, lock.sourceDateEpoch, stallMs)]),
  ]
}

function mirrorSource(mirrors: Mirrors, stallMs?: number): FileSource {
  return {
    role: 'mirror',
    name: `mirror ${mirrors.debian}`,
    open: async (file) =>
      'archive' in file ? openHttp(`${mirrors[file.archive]}/${escaped(file)}`, stallMs) : null,
  }
}

/**
 * A snapshot archive serves the last import before the requested time. A package that a Release names is imported after
 * that Release's date and stays in the pool for longer than a day. So the day after the lock's date is tried as well.
 */
function snapshotSource(base: string, sourceDateEpoch: number, stallMs?: number): FileSource {
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

/** '+' is escaped, as apt does, because some servers read it as a space. */
const escaped = ({ filename }: LockedDeb) => filename.split('/').map(encodeURIComponent).join('/')
