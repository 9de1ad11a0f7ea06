// Loads a routes table of any size. Owns: which tables are parsed here, and which on a thread of their own, whose code is
// loaded only then. Fails with InputError.
import { parseRoutesText } from './routes-text.ts'
import type { Routes } from './table.ts'

/** A smaller table is parsed at once: a start need not wait for a thread. */
const SMALL_BYTES = 65_536

/**
 * Parses and checks a table that came from `name`.
 * @throws {InputError} if it is broken, or the reason of `signal` once that is aborted
 */
export async function loadRoutes(name: string, bytes: Uint8Array, signal: AbortSignal): Promise<Routes> {
  if (bytes.length < SMALL_BYTES) return parseRoutesText(name, Buffer.from(bytes).toString())
  const { loadRoutesOnThread } = await import('./load-thread.ts')
  return loadRoutesOnThread(name, bytes, signal)
}
