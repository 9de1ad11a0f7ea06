// Reads, parses and checks input files. Owns: InputError, which lists every problem of a file with the key, the found
// value and the expected value. Imports no other file of the project.
import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { LineCounter, parseDocument } from 'yaml'

/** One problem of an input. `key` is a dotted path into the file, or '' for the whole file. */
export type Problem = { key: string; found: string; expected: string }

/** Most characters of a found value in an error: enough to recognise it, without flooding a log. */
const FOUND_CHARS = 80

/** Errors never print the values of such keys, since errors end up in logs and tickets. */
const SECRET_KEYS = /secret|password|token/i

/** Invalid input, with all its problems. Commands print the message and exit with 2. */
export class InputError extends Error {
  readonly file: string
  readonly problems: readonly Problem[]

  constructor(file: string, problems: readonly Problem[], options?: ErrorOptions) {
    const lines = problems.map(
      ({ key, found, expected }) =>
        `  ${key === '' ? '(whole file)' : key}: expected ${expected}, found ${found}`,
    )
    super(
      `${file}: ${problems.length} problem${problems.length === 1 ? '' : 's'}\n${lines.join('\n')}`,
      options,
    )
    this.name = 'InputError'
    this.file = file
    this.problems = problems
  }
}

/** A value for an error message: JSON, at most {@link FOUND_CHARS} characters; 'nothing' for undefined. */
export function formatValue(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value) ?? typeof value
  return text.length > FOUND_CHARS ? `${text.slice(0, FOUND_CHARS)}…` : text
}

function hidden(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return `a text of ${value.length} characters`
  return Array.isArray(value) ? `a list of ${value.length}` : `a ${typeof value}`
}

/**
 * Reads and parses a JSON or YAML file. JSON is a subset of YAML 1.2, so one parser reads both.
 * @throws {InputError} when the file cannot be read, or is not YAML (with line and column).
 */
export function readInput(file: string): unknown {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new InputError(file, [{ key: '', found: code ?? String(cause), expected: 'a readable file' }], {
      cause,
    })
  }
  return parseInput(file, text)
}

/**
 * Parses JSON or YAML text from `file`.
 * @throws {InputError} with the line and column of every syntax error, or with the problem of its YAML aliases.
 */
export function parseInput(file: string, text: string): unknown {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter, prettyErrors: false })
  if (document.errors.length > 0) {
    throw new InputError(
      file,
      document.errors.map((error) => {
        const { line, col } = lineCounter.linePos(error.pos[0])
        return { key: `line ${line}, column ${col}`, found: error.message, expected: 'JSON or YAML' }
      }),
    )
  }
  try {
    const value: unknown = document.toJS()
    // An alias inside its own anchor makes a circular value, which schemas and error messages cannot handle.
    JSON.stringify(value)
    return value
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause)
    throw new InputError(
      file,
      [{ key: '', found, expected: 'YAML aliases that follow their anchors, and not too many of them' }],
      {
        cause,
      },
    )
  }
}

/**
 * Checks `value` against `schema`. @returns it typed, with every default.
 * @throws {InputError} with every invalid key.
 */
export function checkInput<S extends v.GenericSchema>(
  file: string,
  schema: S,
  value: unknown,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value)
  if (result.success) return result.output
  throw new InputError(file, result.issues.map(problemOf))
}

function problemOf(issue: v.BaseIssue<unknown>): Problem {
  const key = v.getDotPath(issue) ?? ''
  if (issue.type.endsWith('object') && issue.input === undefined)
    return { key, found: 'nothing', expected: 'a value' }
  if (issue.expected === 'never') return { key, found: 'this key', expected: 'no such key' }
  // A validation has our own text ("a port, 1 to 65535"); a type check has only valibot's "Invalid type: …".
  const expected = issue.message.startsWith('Invalid ')
    ? (issue.expected ?? (issue.requirement as string))
    : issue.message
  // The input of a check across keys is the whole object; the problem belongs to the key it was forwarded to.
  const last = issue.path?.at(-1)
  const value: unknown = last === undefined ? issue.input : last.value
  return { key, found: SECRET_KEYS.test(key) ? hidden(value) : formatValue(value), expected }
}
