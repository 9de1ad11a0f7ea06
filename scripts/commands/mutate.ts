// `mailfleet mutate`: puts each mutant into a copy of the tree, runs its tests, and demands that an assertion fails.
// Owns: build/reports/mutate.json, and the removal of the copies however the run ends.
// Fails with InputError when a mutant does not fit the sources, or a test fails without any mutant.
import { mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { InputError, type Problem } from '../../input/problems.ts'
import { mutated, MUTANTS_FOLDER, readMutants, type Mutant } from '../mutate/mutants.ts'
import { copyTree } from '../mutate/tree.ts'
import { runTrial, type Trial } from '../mutate/trial.ts'
import type { CommandContext } from '../options.ts'
import { writeReport } from '../report-file.ts'

export default function addMutate(program: Command, { project, signal }: CommandContext): void {
  program
    .command('mutate')
    .description('break the sources on purpose, in copies, and check that tests fail; writes mutate.json')
    .argument('[part...]', 'only mutants whose list, file, rule or description contains one of these')
    .action(async (only: string[]) => {
      process.exitCode = await mutate({ root: project.root, reportsDir: project.reportsDir, only, signal })
    })
}

type Survivor = { breaks: string; guards: string; file: string; why: string }

export type MutateOptions = {
  root: string
  reportsDir: string
  /** Only mutants with one of these in their list, file, words or rule. */
  only: readonly string[]
  signal: AbortSignal
}

/** Tries every mutant. @returns the exit code: 1 when a mutant survives */
export async function mutate({ root, reportsDir, only, signal }: MutateOptions): Promise<number> {
  const startedMs = performance.now()
  const mutants = chosen(readMutants(root), only)
  using folder = mkdtempDisposableSync(join(tmpdir(), 'mailfleet-mutate-'))
  const trees = Array.from({ length: Math.min(availableParallelism(), mutants.length) }, (_, index) => {
    const tree = join(folder.path, `tree-${index}`)
    copyTree(root, tree)
    return { tree, temporary: join(folder.path, `tmp-${index}`), signal }
  })
  const files = [...new Set(mutants.flatMap(({ tests }) => tests))].sort()
  console.log(`${files.length} test files must pass before they are tried on ${mutants.length} mutants`)
  await assertGreen(mutants, files, trees)
  const survivors: Survivor[] = []
  let tried = 0
  await shareOut(mutants, trees, async (mutant, at) => {
    const why = await survival(mutant, at)
    console.log(`${++tried}/${mutants.length} ${why === null ? '✔' : '✖'} ${mutant.guards}: ${mutant.breaks}`)
    if (why === null) return
    console.log(`  ${why}`)
    survivors.push({ breaks: mutant.breaks, guards: mutant.guards, file: mutant.file, why })
  })
  const seconds = Math.round((performance.now() - startedMs) / 1000)
  const killed = mutants.length - survivors.length
  const found = { mutants: mutants.length, killed, survivors, testFiles: files.length, seconds }
  writeReport(reportsDir, 'mutate.json', found)
  console.log(`${killed} of ${mutants.length} mutants killed in ${seconds} s`)
  for (const { breaks, file, why } of survivors) console.log(`survived: ${breaks} (${file}): ${why}`)
  return survivors.length > 0 ? 1 : 0
}

function chosen(mutants: readonly Mutant[], only: readonly string[]): Mutant[] {
  const texts = ({ list, file, breaks, guards }: Mutant) => [list, file, breaks, guards]
  const found = mutants.filter(
    (mutant) => only.length === 0 || only.some((part) => texts(mutant).some((text) => text.includes(part))),
  )
  if (found.length > 0) return found
  const expected = `part of a list, file, rule or description in ${MUTANTS_FOLDER}/`
  throw new InputError('the command', [{ key: 'part', found: only.join(' ') || 'no mutant', expected }])
}

type Place = { tree: string; temporary: string; signal: AbortSignal }

/** Gives every item to the next free place. Stops at the first error. */
async function shareOut<T>(
  items: readonly T[],
  places: readonly Place[],
  work: (item: T, place: Place) => Promise<void>,
): Promise<void> {
  const waiting = [...items]
  const results = await Promise.allSettled(
    places.map(async (place) => {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
        try {
          await work(item, place)
        } catch (error) {
          waiting.length = 0
          throw error
        }
      }
    }),
  )
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

/** @throws {InputError} naming every test that fails, or does not run, without any mutant */
async function assertGreen(
  mutants: readonly Mutant[],
  files: readonly string[],
  places: readonly Place[],
): Promise<void> {
  const trials = new Map<string, Trial>()
  await shareOut(files, places, async (file, place) => {
    trials.set(file, await runTrial({ ...place, files: [file], stopAtAssertion: false }))
  })
  const problems: Problem[] = []
  for (const [file, { failures, passed, timedOut }] of trials) {
    const expected = 'a test that passes without any mutant'
    for (const { test, why } of failures) problems.push({ key: `${file}: ${test}`, found: why, expected })
    if (timedOut) problems.push({ key: file, found: 'no end to it', expected })
    else if (failures.length + passed.length === 0)
      problems.push({ key: file, found: 'no test that ran', expected })
  }
  for (const { fails, tests, breaks, list } of mutants) {
    const titles = tests.flatMap((file) => trials.get(file)?.passed.map(({ test }) => test) ?? [])
    if (fails === undefined || titles.includes(fails)) continue
    const expected = `a test of ${tests.join(', ')} that passes without any mutant`
    problems.push({ key: `${list}: ${breaks}: fails`, found: JSON.stringify(fails), expected })
  }
  if (problems.length > 0) throw new InputError('the mutants’ tests', problems)
}

/** Why the mutant survives; null when a test failed for it. */
async function survival(mutant: Mutant, place: Place): Promise<string | null> {
  const file = join(place.tree, mutant.file)
  const source = readFileSync(file, 'utf8')
  writeFileSync(file, mutated(source, mutant))
  try {
    const { tests: files, fails: title } = mutant
    const { failures, timedOut } = await runTrial({ ...place, files, title, stopAtAssertion: true })
    if (failures.some(({ byAssertion }) => byAssertion)) return null
    if (timedOut) return 'its tests hang, where an assertion should fail'
    const [first] = failures
    if (first === undefined) return 'all its tests pass'
    return `its tests fail, but not by an assertion: ${first.test}: ${first.why}`
  } finally {
    writeFileSync(file, source)
  }
}
