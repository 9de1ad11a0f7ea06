// A place that may hold what a lock names: the archive of one's own, the mirror, the snapshot archive, npm. Owns: the
// contract between those who have the files and those who fetch them, and a file's name in a cache or an archive.
import type { Readable } from 'node:stream'
import type { LockedDeb, LockedNpm } from '../lock-file.ts'

/** A file that a lock names. */
export type LockedFile = LockedDeb | LockedNpm

export type Place = {
  role: 'archive' | 'mirror' | 'snapshot'
  /** For people: what it is and where. */
  name: string
  /**
   * The file's bytes, unchecked, or null when the place has no such file.
   * @throws when the place cannot be asked or does not answer as it should; {@link PlaceError} when it says more.
   */
  open: (file: LockedFile) => Promise<Readable | null>
  /** It limits how much one client may ask: one file at a time. */
  oneAtATime?: boolean
}

/** A place's refusal. `retryAfterMs` when it says how long to leave it alone. */
export class PlaceError extends Error {
  readonly retryAfterMs: number | undefined

  constructor(message: string, retryAfterMs?: number) {
    super(message)
    this.name = 'PlaceError'
    this.retryAfterMs = retryAfterMs
  }
}

export type ObjectName = { algorithm: 'sha256' | 'sha512'; hex: string }

/** A file's name by its content: a .deb is locked by SHA-256, an npm package by SHA-512 (npm's `integrity`). */
export function objectOf(file: LockedFile): ObjectName {
  return 'sha256' in file
    ? { algorithm: 'sha256', hex: file.sha256 }
    : {
        algorithm: 'sha512',
        hex: Buffer.from(file.integrity.slice('sha512-'.length), 'base64').toString('hex'),
      }
}

/** Path of an object below a cache's `objects` folder, and below an archive: they have one layout. */
export const objectKey = ({ algorithm, hex }: ObjectName): string => `${algorithm}/${hex.slice(0, 2)}/${hex}`

/** An error and its causes in one line. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message} (${reasonOf(error.cause)})` : error.message
}
