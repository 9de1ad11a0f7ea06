// The text of a routes table, wherever it is kept, turned into routes. Owns: how large it may be, since all mail waits
// for a load, and leases run out meanwhile. Fails with InputError, which names the place and all that is wrong.
import { InputError, parseInput } from '../../input/problems.ts'
import { parseRoutes, type Routes } from './table.ts'

/** 32 MiB of JSON, some 700,000 aliases, take about 5 s. */
export const MOST_BYTES = 33_554_432

/** About 10 s, see below. */
const MOST_YAML_CHARS = 2_097_152

/** From this size on JSON is read as JSON: as YAML, 1 MB takes seconds. */
const LARGE_CHARS = 262_144

/** Parses JSON or YAML that came from `name`. Smaller JSON is read as YAML, which notices a key given twice. */
export function parseRoutesText(name: string, text: string): Routes {
  return parseRoutes(name, parseText(name, text))
}

function parseText(name: string, text: string): unknown {
  if (text.length < LARGE_CHARS) return parseInput(name, text)
  try {
    return JSON.parse(text)
  } catch {
    if (text.length > MOST_YAML_CHARS)
      throw tooLarge(name, text.length, `JSON, or at most ${MOST_YAML_CHARS} characters of YAML`)
    return parseInput(name, text)
  }
}

/** The error of a table of more than {@link MOST_BYTES}. */
export function tooLarge(name: string, size: number, expected = `at most ${MOST_BYTES} bytes`): InputError {
  return new InputError(name, [{ key: '', found: `${size}`, expected }])
}
