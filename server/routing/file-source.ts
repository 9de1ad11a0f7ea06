// Loads routes from a file, and reloads them when the file changes by a rename or an edit in place.
// Fails with InputError at start only. Later, a broken or missing file is reported and the last good table stays in use.
import { constants, type Stats } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { InputError } from '../../input/problems.ts'
import { loadRoutes } from './load.ts'
import { MAX_ROUTES_BYTES, routesTooLarge } from './routes-text.ts'
import type { Routes } from './table.ts'

/** `current` returns the routes in use, or null if none were ever loaded: then no alias can be called unknown. */
export type RouteSource = { current: () => Routes | null; close: () => void }

/** `broken`: the table is invalid. `unavailable`: the table could not be read. */
export type ReloadReport =
  { result: 'loaded'; domains: number } | { result: 'broken' | 'unavailable'; error: string }

/** Checks the routes from `place` against the configuration. @throws {InputError} if they do not fit. */
export type RoutesCheck = (place: string, routes: Routes) => Promise<void>

type FileSourceOptions = {
  file: string
  /** Time between two polls of the file. A change is loaded once the file has stayed the same for one such period. */
  pollMs: number
  check: RoutesCheck
  /** Called after every load but the first. */
  onReload: (report: ReloadReport) => void
}

/**
 * Loads the routes and polls the file for changes. Polling also sees renames, bind mounts and network file systems. A
 * change is loaded when two polls see the same file, so that a half-written table is never used.
 * @throws {InputError} when the file is missing or broken at start.
 */
export async function openFileSource({
  file,
  pollMs,
  check,
  onReload,
}: FileSourceOptions): Promise<RouteSource> {
  const closing = new AbortController()
  async function readRoutes(): Promise<Routes> {
    const routes = await loadRoutes(file, await readBytes(file), closing.signal)
    await check(file, routes)
    return routes
  }

  let loadedMark = await markOf(file)
  let routes = await readRoutes()
  let seenMark = loadedMark

  async function poll(): Promise<void> {
    const mark = await markOf(file)
    const settled = mark === seenMark
    seenMark = mark
    if (!settled || mark === loadedMark) return
    loadedMark = mark
    try {
      routes = await readRoutes()
      onReload({ result: 'loaded', domains: routes.size })
    } catch (error) {
      if (closing.signal.aborted) return
      onReload({ result: 'broken', error: error instanceof Error ? error.message : String(error) })
    }
  }

  let timer: NodeJS.Timeout
  const schedule = () => {
    timer = setTimeout(() => {
      void poll().finally(() => {
        if (!closing.signal.aborted) schedule()
      })
    }, pollMs)
    timer.unref()
  }
  schedule()
  return {
    current: () => routes,
    close: () => {
      closing.abort()
      clearTimeout(timer)
    },
  }
}

/** Opens the file without blocking: opening a fifo without a writer would block for ever. */
async function readBytes(file: string): Promise<Uint8Array> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw unreadable(file, (cause as NodeJS.ErrnoException).code ?? 'an error')
  })
  try {
    const about = await handle.stat()
    if (!about.isFile()) throw unreadable(file, kindOf(about))
    if (about.size > MAX_ROUTES_BYTES) throw routesTooLarge(file, about.size)
    return await handle.readFile()
  } finally {
    await handle.close()
  }
}

function unreadable(file: string, found: string): InputError {
  return new InputError(file, [{ key: '', found, expected: 'a readable file' }])
}

function kindOf(about: Stats): string {
  if (about.isDirectory()) return 'a directory'
  return about.isFIFO() ? 'a fifo' : 'a device'
}

/** A text that changes with the file's identity, size or times; 'missing' when stat fails. */
async function markOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
  } catch {
    return 'missing'
  }
}
