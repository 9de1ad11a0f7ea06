// Routes from a file, taken up again whenever it changes, without a restart.
// Owns: noticing a change (atomic rename or edit in place) and keeping the last good table when the new one is
// broken. Fails at start only, by InputError; afterwards a broken or missing file is reported and changes nothing.
import { readFile, stat } from 'node:fs/promises'
import { InputError, parseInput, readInput } from '../../input/problems.ts'
import { parseRoutes, type Routes } from './table.ts'

/** What answers "which routes hold now". `null`: none were ever loaded, so nobody can say an alias is unknown. */
export type RouteSource = { current: () => Routes | null; close: () => void }

export type ReloadReport = { result: 'loaded'; domains: number } | { result: 'broken'; error: string }

type FileSourceOptions = {
  file: string
  /** How often the file is looked at. A change is taken up once the file has stayed the same for one such period. */
  pollMs: number
  /** Told of every load after the first. */
  onReload: (report: ReloadReport) => void
}

/**
 * Loads the routes and follows the file. Polling, since it also sees what a rename, a bind mount or a network file
 * system does; and a file seen twice the same is not in the middle of being written, so a half-written table that
 * happens to parse is never used.
 * @throws {InputError} when the file is missing or broken now.
 */
export async function openFileSource({ file, pollMs, onReload }: FileSourceOptions): Promise<RouteSource> {
  let loadedMark = await markOf(file)
  let routes: Routes = parseRoutes(file, await readRoutes(file))
  let seenMark = loadedMark

  async function look(): Promise<void> {
    const mark = await markOf(file)
    const settled = mark === seenMark
    seenMark = mark
    if (!settled || mark === loadedMark) return
    loadedMark = mark
    try {
      routes = parseRoutes(file, await readRoutes(file))
      onReload({ result: 'loaded', domains: routes.size })
    } catch (error) {
      onReload({ result: 'broken', error: error instanceof Error ? error.message : String(error) })
    }
  }

  let timer: NodeJS.Timeout
  let closed = false
  const schedule = () => {
    timer = setTimeout(() => {
      void look().finally(() => {
        if (!closed) schedule()
      })
    }, pollMs)
    timer.unref()
  }
  schedule()
  return {
    current: () => routes,
    close: () => {
      closed = true
      clearTimeout(timer)
    },
  }
}

/** All mail waits for a load, and leases run out meanwhile: 32 MiB of JSON, some 700,000 aliases, take about 5 s. */
const MOST_BYTES = 33_554_432

/** About 10 s, see below. */
const MOST_YAML_CHARS = 2_097_152

/** From this size on JSON is read as JSON: as YAML, 1 MB takes seconds. */
const LARGE_CHARS = 262_144

/** The file's content. A smaller JSON file is read as YAML, which notices a key given twice. */
async function readRoutes(file: string): Promise<unknown> {
  const { size } = await stat(file).catch(() => ({ size: 0 }))
  if (size > MOST_BYTES) return tooLarge(file, size, `at most ${MOST_BYTES} bytes`)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch {
    // For its error, which names the file and the reason.
    return readInput(file)
  }
  if (text.length < LARGE_CHARS) return parseInput(file, text)
  try {
    return JSON.parse(text)
  } catch {
    if (text.length > MOST_YAML_CHARS)
      return tooLarge(file, text.length, `JSON, or at most ${MOST_YAML_CHARS} characters of YAML`)
    return parseInput(file, text)
  }
}

function tooLarge(file: string, size: number, expected: string): never {
  throw new InputError(file, [{ key: '', found: `${size}`, expected }])
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
