// What a person gave us and we cannot use: a file, and everything that is wrong with it, in one error.
// Owns: the error class, and turning a schema's findings into problems that name the key, what was found
// and what was expected. A leaf: imports nothing of ours, anyone may import it.
import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { LineCounter, parseDocument } from 'yaml'

/** One thing wrong with an input. `key` is a dotted path into the file ('' for the file as a whole). */
export type Problem = { key: string; found: string; expected: string }

/** How much of an offending value is repeated in an error: enough to recognise it, too little to flood a log. */
const FOUND_CHARS = 80

/** Values under such keys are never repeated: errors end in logs and tickets. */
const SECRET_KEYS = /secret|password|token/i

/** Bad input. Lists every problem at once; commands print the message and exit 2. */
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

/** A value as an error message shows it: JSON, cut to {@link FOUND_CHARS} characters; 'nothing' for undefined. */
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
 * Reads and parses a JSON or YAML file (JSON is a subset of YAML 1.2, so one parser serves both).
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
 * Parses JSON or YAML text that came from `file`.
 * @throws {InputError} with the line and column of every syntax error, or with what is wrong with its aliases.
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
    // An alias inside its own anchor makes a value that no schema and no error message comes to the end of.
    JSON.stringify(value)
    return value
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause)
    throw new InputError(
      file,
      [{ key: '', found, expected: 'aliases of anchors before them, in moderation' }],
      {
        cause,
      },
    )
  }
}

/**
 * Checks `value` against `schema` and returns it typed, defaults filled in.
 * @throws {InputError} naming every key that does not fit.
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
  // A validation carries its sentence ("a port, 1 to 65535"); a type check only valibot's "Invalid type: …".
  const expected = issue.message.startsWith('Invalid ')
    ? (issue.expected ?? (issue.requirement as string))
    : issue.message
  // A check across keys is about the key it was forwarded to, while its input is the whole object.
  const last = issue.path?.at(-1)
  const value: unknown = last === undefined ? issue.input : last.value
  return { key, found: SECRET_KEYS.test(key) ? hidden(value) : formatValue(value), expected }
}
