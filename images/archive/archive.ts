// An archive of one's own: the files of locks by their hash, in a directory, below a web address, or in a bucket.
// Owns: telling these apart, and the one layout they share with the cache: sha256/ab/<hex>, sha512/ab/<hex>,
// locks/<hex>.json. Fails with InputError when a target is none of these, or is to be read and not there.
import { existsSync } from 'node:fs'
import { InputError } from '../../input/problems.ts'
import { directoryArchive } from './directory.ts'
import { openHttp } from './http.ts'
import { objectKey, objectOf, type ObjectName, type Place } from './place.ts'

/** An archive that can be added to. Writes are whole or not at all. */
export type Archive = Place & {
  /** True when it holds the object; with the right content where that can be told cheaply, else with the right size. */
  has: (object: ObjectName, sizeBytes: number) => Promise<boolean>
  /** Makes sure that it can be written to. @throws {InputError} */
  prepare: () => Promise<void>
  put: (object: ObjectName, content: Uint8Array) => Promise<void>
  /** Keeps a lock's text under the text's own SHA-256. */
  putLock: (hex: string, text: string) => Promise<void>
}

type Target = { kind: 'directory' | 'http'; at: string } | { kind: 's3'; bucket: string; prefix: string }

/**
 * Reads a target: a directory (a path or file://), http(s)://, or s3://bucket/prefix.
 * @throws {InputError} when it is none of these.
 */
export function parseTarget(text: string): Target {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text)?.[1]?.toLowerCase()
  if (scheme === undefined && text !== '') return { kind: 'directory', at: text }
  if (scheme === 'file' && /^file:\/\/(localhost)?\//i.test(text)) {
    return { kind: 'directory', at: decodeURIComponent(new URL(text).pathname) }
  }
  if ((scheme === 'http' || scheme === 'https') && URL.canParse(text)) {
    return { kind: 'http', at: text.replace(/\/+$/, '') }
  }
  // Names of buckets: "General purpose bucket naming rules" of the S3 user guide.
  const s3 = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(text)
  if (s3) return { kind: 's3', bucket: s3[1] ?? '', prefix: (s3[2] ?? '').replace(/^\/+|\/+$/g, '') }
  throw new InputError('the archive', [
    {
      key: 'MAILFLEET_ARCHIVE or its argument',
      found: JSON.stringify(text),
      expected: 'a directory, file:///…, http(s)://…, or s3://bucket/prefix',
    },
  ])
}

/** An archive to read from. @throws {InputError} */
export async function archivePlace(text: string): Promise<Place> {
  const target = parseTarget(text)
  if (target.kind !== 'http') return openArchive(text)
  return {
    role: 'archive',
    name: `archive ${target.at}`,
    open: (file) => openHttp(`${target.at}/${objectKey(objectOf(file))}`),
  }
}

/** The one archive to read from: unlike among several places, it must be there. @throws {InputError} */
export async function onlyArchive(text: string): Promise<Place> {
  const target = parseTarget(text)
  if (target.kind !== 'directory' || existsSync(target.at)) return archivePlace(text)
  throw new InputError('the archive', [
    { key: 'target', found: `${target.at}, which is not there`, expected: 'a directory that has an archive' },
  ])
}

/** An archive to read and add to. @throws {InputError} for a web address, which can only be read. */
export async function openArchive(text: string): Promise<Archive> {
  const target = parseTarget(text)
  if (target.kind === 'directory') return directoryArchive(target.at)
  if (target.kind === 's3') {
    const { s3Archive } = await import('./s3.ts')
    return s3Archive(target.bucket, target.prefix)
  }
  throw new InputError('the archive', [
    { key: 'target', found: text, expected: 'the directory or bucket behind it: HTTP only reads' },
  ])
}
