// Routes from a file, taken up again whenever it changes, without a restart.
// Owns: noticing a change (atomic rename or edit in place) and keeping the last good table when the new one is
// broken. Fails at start only, by InputError; afterwards a broken or missing file is reported and changes nothing.
import { constants, type Stats } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { InputError } from '../../input/problems.ts'
import { loadRoutes } from './load.ts'
import { MAX_ROUTES_BYTES, routesTooLarge } from './routes-text.ts'
import type { Routes } from './table.ts'

/** What answers "which routes hold now". `null`: none were ever loaded, so nobody can say an alias is unknown. */
export type RouteSource = { current: () => Routes | null; close: () => void }

/** `broken`: there is a table, and it will not do. `unavailable`: there may be one, and it cannot be had now. */
export type ReloadReport =
  { result: 'loaded'; domains: number } | { result: 'broken' | 'unavailable'; error: string }

/** Whether the routes from `place` go with the rest of the configuration. @throws {InputError} if not. */
export type RoutesCheck = (place: string, routes: Routes) => Promise<void>

type FileSourceOptions = {
  file: string
  /** How often the file is looked at. A change is taken up once the file has stayed the same for one such period. */
  pollMs: number
  /** Throws InputError for routes that do not go with the configuration. */
  check: RoutesCheck
  /** Told of every load after the first. */
  onReload: (report: ReloadReport) => void
}

/**
 * Loads the routes and follows the file. Polling, since it also sees what a rename, a bind mount or a network file
 * system does; and a file seen twice the same is not in the middle of being written, so a half-written table that
 * happens to parse is never used.
 * @throws {InputError} when the file is missing or broken now.
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

  async function look(): Promise<void> {
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
      void look().finally(() => {
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

/** Opened without blocking: a fifo that nobody writes to would otherwise hold the reader for ever. */
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

/** What changes when a file's content may have: its identity, size and times. 'missing' when it cannot be seen. */
async function markOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
  } catch {
    return 'missing'
  }
}
