// The text of a routes table, wherever it is kept, turned into routes. Owns: how large it may be, how many problems one
// error lists, and that no error repeats what is in it: it may be any file by mistake.
// Fails with InputError, which names the place and what is wrong.
import { InputError, parseInput, type Problem } from '../../input/problems.ts'
import { parseRoutes, type Routes } from './table.ts'

/** 32 MiB of JSON, some 700,000 aliases, take a few seconds of a thread of their own. */
export const MAX_ROUTES_BYTES = 33_554_432

/** About 10 s of such a thread, see below. */
const MAX_YAML_CHARS = 2_097_152

/** From this size on JSON is read as JSON: as YAML, 1 MB takes seconds. */
const LARGE_CHARS = 262_144

/** Problems that one error lists. A table with the wrong separator has as many as it has aliases. */
const PROBLEMS_LISTED = 100

/** Parses JSON or YAML that came from `name`. Smaller JSON is read as YAML, which notices a key given twice. */
export function parseRoutesText(name: string, text: string): Routes {
  try {
    return parseRoutes(name, parseText(name, text))
  } catch (error) {
    throw error instanceof InputError ? new InputError(name, listed(error.problems)) : error
  }
}

function listed(problems: readonly Problem[]): Problem[] {
  const first = problems.slice(0, PROBLEMS_LISTED).map(withoutContent)
  const more = problems.length - first.length
  return more > 0 ? [...first, { key: '', found: `${more} more problems`, expected: 'none' }] : first
}

/** Keys that say where something is: below the one key of a routes table, or a place in the text. */
const PLACE = /^$|^domains(\.|$)|^line \d+, column \d+$/

/** What may be said of what was found. */
const HARMLESS = /^(nothing|this key|\d+)$/

function withoutContent({ key, found, expected }: Problem): Problem {
  const what = HARMLESS.test(found) ? found : found.endsWith(' again') ? 'it again' : 'something else'
  return { key: PLACE.test(key) ? key : 'another key than domains', found: what, expected }
}

function parseText(name: string, text: string): unknown {
  if (text.length < LARGE_CHARS) return parseInput(name, text)
  try {
    return JSON.parse(text)
  } catch {
    if (text.length > MAX_YAML_CHARS)
      throw routesTooLarge(name, text.length, `JSON, or at most ${MAX_YAML_CHARS} characters of YAML`)
    return parseInput(name, text)
  }
}

/** The error of a table of more than {@link MAX_ROUTES_BYTES}. */
export function routesTooLarge(
  name: string,
  size: number,
  expected = `at most ${MAX_ROUTES_BYTES} bytes`,
): InputError {
  return new InputError(name, [{ key: '', found: `${size}`, expected }])
}
