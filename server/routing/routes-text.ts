// The text of a routes table, wherever it is kept, turned into routes. Owns: how large it may be, that a large table is
// checked in steps between which mail goes on, and that no error repeats what is in it: it may be any file by mistake.
// Fails with InputError, which names the place and all that is wrong.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { InputError, parseInput, type Problem } from '../../input/problems.ts'
import { routesStepwise, type Routes } from './table.ts'

/** 32 MiB of JSON, some 700,000 aliases, take about 5 s in steps; the longest is JSON.parse, some tenths of one. */
export const MOST_BYTES = 33_554_432

/** About 10 s, see below. */
const MOST_YAML_CHARS = 2_097_152

/** From this size on JSON is read as JSON: as YAML, 1 MB takes seconds. */
const LARGE_CHARS = 262_144

/** Parses JSON or YAML that came from `name`. Smaller JSON is read as YAML, which notices a key given twice. */
export async function parseRoutesText(name: string, text: string): Promise<Routes> {
  try {
    const steps = routesStepwise(name, parseText(name, text))
    for (;;) {
      const step = steps.next()
      if (step.done === true) return step.value
      await nextTurn()
    }
  } catch (error) {
    throw error instanceof InputError ? new InputError(name, error.problems.map(withoutContent)) : error
  }
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
    if (text.length > MOST_YAML_CHARS)
      throw tooLarge(name, text.length, `JSON, or at most ${MOST_YAML_CHARS} characters of YAML`)
    return parseInput(name, text)
  }
}

/** The error of a table of more than {@link MOST_BYTES}. */
export function tooLarge(name: string, size: number, expected = `at most ${MOST_BYTES} bytes`): InputError {
  return new InputError(name, [{ key: '', found: `${size}`, expected }])
}
