// Parses the text of a routes table. Owns: its size limits, and how many problems one error lists.
// Fails with InputError. No error prints the file's content: an operator may have named the wrong file.
import { InputError, parseInput, type Problem } from '../../input/problems.ts'
import { parseRoutes, type Routes } from './table.ts'

/** 32 MiB of JSON hold some 700,000 aliases. A worker thread parses them in a few seconds. */
export const MAX_ROUTES_BYTES = 33_554_432

/** A worker thread parses this much YAML in about 10 s. */
const MAX_YAML_CHARS = 2_097_152

/** From this size on JSON.parse is tried first: the YAML parser takes seconds for 1 MB. */
const LARGE_CHARS = 262_144

/** Most problems in one error. A table with a wrong separator has a problem in every alias. */
const PROBLEMS_LISTED = 100

/** Parses JSON or YAML from `name`. Small JSON is parsed as YAML, since that parser reports duplicate keys. */
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

/** Keys that an error may print: those below `domains`, or a line and column. */
const PLACE = /^$|^domains(\.|$)|^line \d+, column \d+$/

/** Found values that an error may print. */
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

/** The error for a table that exceeds a size limit. */
export function routesTooLarge(
  name: string,
  size: number,
  expected = `at most ${MAX_ROUTES_BYTES} bytes`,
): InputError {
  return new InputError(name, [{ key: '', found: `${size}`, expected }])
}
