// The files of the embedded queue as they are opened. Owns: the size of the map, and that a queue of another layout is
// left alone. Fails with InputError.
import { InputError } from '../../../input/problems.ts'
import { openEnvironment, type GroupCommit } from './durable.ts'
import { LAYOUT_VERSION, openLayout, type Layout } from './layout.ts'
import { writeFromNewestStateSync } from './newest-state.ts'

/**
 * Address space for the map: bodies a little over a page take two (the worst case, factor 2), an entry with its index
 * rows a page or two, and 64 MiB for what lmdb keeps for readers of older states. At most 1 TiB of the 128 TiB that
 * a process has; beyond that lmdb-js moves the map as the file grows.
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

/** Marks a new queue with its layout. @throws {InputError} if it has another one. */
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
