// The user's own archive: files of locks by their hash, in a directory, below a web address, or in a bucket. Owns: how an
// archive is named. Layout, as in the cache: sha256/ab/<hex>, sha512/ab/<hex>, locks/<hex>.json.
// Fails with InputError when a name is none of these, or is a directory to read from that does not exist.
import { existsSync } from 'node:fs'
import { InputError } from '../../input/problems.ts'
import { directoryArchive } from './directory.ts'
import { openHttp } from './http.ts'
import { objectKey, objectNameOf, type Archive, type FileSource } from './file-source.ts'

type ArchiveTarget =
  { kind: 'directory' | 'http'; at: string } | { kind: 's3'; bucket: string; prefix: string }

/**
 * Parses an archive's name: a directory (a path or file://), http(s)://, or s3://bucket/prefix.
 * @throws {InputError} when it is none of these.
 */
export function parseArchiveTarget(text: string): ArchiveTarget {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text)?.[1]?.toLowerCase()
  if (scheme === undefined && text !== '') return { kind: 'directory', at: text }
  if (scheme === 'file' && /^file:\/\/(localhost)?\//i.test(text)) {
    return { kind: 'directory', at: decodeURIComponent(new URL(text).pathname) }
  }
  if ((scheme === 'http' || scheme === 'https') && URL.canParse(text)) {
    return { kind: 'http', at: text.replace(/\/+$/, '') }
  }
  // Bucket names: "General purpose bucket naming rules" of the S3 user guide.
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

/** Opens an archive to read from. @throws {InputError} */
export async function archiveSource(text: string): Promise<FileSource> {
  const target = parseArchiveTarget(text)
  if (target.kind !== 'http') return openArchive(text)
  return {
    role: 'archive',
    name: `archive ${target.at}`,
    open: (file) => openHttp(`${target.at}/${objectKey(objectNameOf(file))}`),
  }
}

/** Opens an archive to read from. Its directory must exist, because there is no other source. @throws {InputError} */
export async function existingArchive(text: string): Promise<FileSource> {
  const target = parseArchiveTarget(text)
  if (target.kind !== 'directory' || existsSync(target.at)) return archiveSource(text)
  throw new InputError('the archive', [
    {
      key: 'target',
      found: `${target.at}, which does not exist`,
      expected: 'a directory that holds an archive',
    },
  ])
}

/** Opens an archive to read and add to. @throws {InputError} for a web address, because HTTP only reads. */
export async function openArchive(text: string): Promise<Archive> {
  const target = parseArchiveTarget(text)
  if (target.kind === 'directory') return directoryArchive(target.at)
  if (target.kind === 's3') {
    const { s3Archive } = await import('./s3.ts')
    return s3Archive(target.bucket, target.prefix)
  }
  throw new InputError('the archive', [
    { key: 'target', found: text, expected: 'the directory or bucket behind it: HTTP only reads' },
  ])
}
