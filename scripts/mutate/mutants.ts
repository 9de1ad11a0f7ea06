// The mutants: deliberate defects, each with the tests that must fail because of it. They are data in test/mutants/.
// Owns: their schema, and the check that they fit the sources. Each text occurs once, and the changed file parses.
// Fails with one InputError that names every mutant that does not fit.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import ts from 'typescript'
import * as v from 'valibot'
import { checkInput, InputError, readInput, type Problem } from '../../input/problems.ts'

const text = v.pipe(v.string(), v.minLength(1, 'some text'))

const Mutants = v.array(
  v.strictObject({
    /** The defect, in a few words; no two mutants have the same. */
    breaks: text,
    /** The invariant (`invariant 1`), the limit (`limit recipients`) or the rule that the defect violates. */
    guards: text,
    /** The source file. */
    file: v.pipe(text, v.endsWith('.ts', 'a TypeScript file')),
    /** The text to replace, and what replaces it. */
    replace: text,
    with: v.string(),
    /** Test files of which at least one must fail. */
    tests: v.pipe(v.array(text), v.minLength(1, 'at least one test file')),
    /** The title of the test that must fail; only that one is run. */
    fails: v.optional(text),
  }),
)

/** `list`: the file in test/mutants/ that it is from. */
export type Mutant = v.InferOutput<typeof Mutants>[number] & { list: string }

export const MUTANTS_FOLDER = 'test/mutants'

/** Reads all mutants of the tree at `root`. @throws {InputError} when one does not fit the sources. */
export function readMutants(root: string): Mutant[] {
  const mutants = globSync(`${MUTANTS_FOLDER}/*.yaml`, { cwd: root })
    .sort()
    .flatMap((file) => {
      const list = basename(file, '.yaml')
      const found = checkInput(join(root, file), Mutants, readInput(join(root, file)))
      return found.map((mutant) => Object.assign(mutant, { list }))
    })
  const problems = mutants.flatMap((mutant, index) => problemsOf(root, mutant, mutants.slice(0, index)))
  if (problems.length > 0) throw new InputError(MUTANTS_FOLDER, problems)
  return mutants
}

/** The mutant's file as the mutant has it. */
export function mutated(source: string, { replace, with: replacement }: Mutant): string {
  const at = source.indexOf(replace)
  return source.slice(0, at) + replacement + source.slice(at + replace.length)
}

function problemsOf(root: string, mutant: Mutant, before: readonly Mutant[]): Problem[] {
  const problem = (part: string, found: string, expected: string): Problem => ({
    key: `${mutant.list}: ${mutant.breaks}: ${part}`,
    found,
    expected,
  })
  const missing = mutant.tests.filter((file) => !existsSync(join(root, file)))
  return [
    ...(before.some(({ breaks }) => breaks === mutant.breaks)
      ? [problem('breaks', 'the same words twice', 'words that no other mutant has')]
      : []),
    ...missing.map((file) => problem('tests', `no file ${file}`, 'test files')),
    ...sourceProblems(root, mutant, problem),
  ]
}

function sourceProblems(
  root: string,
  mutant: Mutant,
  problem: (part: string, found: string, expected: string) => Problem,
): Problem[] {
  if (!existsSync(join(root, mutant.file)))
    return [problem('file', `no file ${mutant.file}`, 'a source file')]
  const source = readFileSync(join(root, mutant.file), 'utf8')
  const times = source.split(mutant.replace).length - 1
  if (times !== 1) return [problem('replace', `it ${times} times in ${mutant.file}`, 'it exactly once')]
  if (mutant.with === mutant.replace) return [problem('with', 'the same text', 'another text')]
  const { diagnostics = [] } = ts.transpileModule(mutated(source, mutant), { reportDiagnostics: true })
  const [first] = diagnostics
  if (first === undefined) return []
  return [
    problem('with', ts.flattenDiagnosticMessageText(first.messageText, ' '), 'a file that still parses'),
  ]
}
