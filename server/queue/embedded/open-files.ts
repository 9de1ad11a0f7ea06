// Opens the files of the embedded queue. Owns: the size of the map, and the refusal of a queue of another layout. Throws
// InputError.
import { InputError } from '../../../input/problems.ts'
import { openEnvironment, type GroupCommit } from './durable.ts'
import { LAYOUT_VERSION, openLayout, type Layout } from './layout.ts'
import { writeFromNewestStateSync } from './newest-state.ts'

/**
 * Address space for the map. In the worst case a body is just over one page and takes two (factor 2). An
 * entry with its index rows takes two more pages. lmdb gets 64 MiB for readers of older states. The limit is
 * 1 TiB of a process's 128 TiB. Beyond it, lmdb-js moves the map as the file grows.
 */
const mapBytesFor = ({ maxEntries, maxBytes }: { maxEntries: number; maxBytes: number }) =>
  Math.min(2 * maxBytes + maxEntries * 8192 + 64 * 1024 ** 2, 1024 ** 4)

/** @throws {InputError} if lmdb cannot open them. */
export function openQueueFiles(
  path: string,
  flush: boolean,
  bounds: { maxEntries: number; maxBytes: number },
) {
  try {
    const environment = openEnvironment(path, flush, mapBytesFor(bounds))
    return { environment, layout: writeFromNewestStateSync(environment, () => openLayout(environment)) }
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause)
    throw new InputError(path, [{ key: 'path', found, expected: 'a queue that can be opened' }], { cause })
  }
}

/** Writes the layout's version into a new queue. @throws {InputError} if the queue has another version. */
export async function checkLayout(path: string, { meta }: Layout, commits: GroupCommit): Promise<void> {
  const found =
    meta.get('layout') ??
    (await commits.run(() => {
      const existing = meta.get('layout')
      if (existing === undefined) void meta.put('layout', LAYOUT_VERSION)
      return existing ?? LAYOUT_VERSION
    }))
  if (found === LAYOUT_VERSION) return
  throw new InputError(path, [
    { key: '', found: `layout ${found}`, expected: `a queue of layout ${LAYOUT_VERSION}` },
  ])
}
