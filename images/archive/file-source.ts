// A source of the files that a lock names: the user's own archive, the mirror, the snapshot archive. Owns: the interface
// between sources and the fetch, and a file's name in a cache or an archive.
import type { Readable } from 'node:stream'
import type { LockedDeb, LockedNpm } from '../lock-file.ts'

/** A file that a lock names. */
export type LockedFile = LockedDeb | LockedNpm

export type FileSource = {
  role: 'archive' | 'mirror' | 'snapshot'
  /** Kind and address, for messages. */
  name: string
  /**
   * The file's bytes, unchecked, or null when the source has no such file.
   * @throws when the source cannot be reached or answers with an error; {@link FileSourceError} when it says more.
   */
  open: (file: LockedFile) => Promise<Readable | null>
  /** The source limits requests of one client, so it is asked for one file at a time. */
  oneAtATime?: boolean
}

/** An error answer. `retryAfterMs`: the pause that the source asks for, if it names one. */
export class FileSourceError extends Error {
  readonly retryAfterMs: number | undefined

  constructor(message: string, retryAfterMs?: number) {
    super(message)
    this.name = 'PlaceError'
    this.retryAfterMs = retryAfterMs
  }
}

export type ObjectName = { algorithm: 'sha256' | 'sha512'; hex: string }

/** An archive that files can be added to. Each write is atomic. */
export type Archive = FileSource & {
  /** True when it holds the object. A directory checks the content, a bucket the size. */
  has: (object: ObjectName, sizeBytes: number) => Promise<boolean>
  /** Checks that it can be written to. @throws {InputError} */
  prepare: () => Promise<void>
  put: (object: ObjectName, content: Uint8Array) => Promise<void>
  /** Stores a lock's text under the text's own SHA-256. */
  putLock: (hex: string, text: string) => Promise<void>
}

/** A file's name by its content. A .deb is locked by SHA-256, an npm package by SHA-512 (npm's `integrity`). */
export function objectNameOf(file: LockedFile): ObjectName {
  return 'sha256' in file
    ? { algorithm: 'sha256', hex: file.sha256 }
    : {
        algorithm: 'sha512',
        hex: Buffer.from(file.integrity.slice('sha512-'.length), 'base64').toString('hex'),
      }
}

/** Path of an object below a cache's `objects` folder and below an archive, which have the same layout. */
export const objectKey = ({ algorithm, hex }: ObjectName): string => `${algorithm}/${hex.slice(0, 2)}/${hex}`

/** The message of an error and of its causes, in one line. */
export function messageWithCauses(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message} (${messageWithCauses(error.cause)})` : error.message
}
