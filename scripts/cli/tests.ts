// `mailfleet test|mutate|prose`: names, options and help of the commands that try the project itself.
import type { Command } from 'commander'
import type { Context } from './context.ts'

/** Adds the commands to the program. */
export function addTestCommands(program: Command, { project, signal }: Context): void {
  program
    .command('test')
    .description('run the tests; writes build/reports/test.json')
    .argument('[path...]', 'only test files whose path contains one of these')
    .option('--full', 'also what takes long: more power cuts, both-ways proofs, a real browser')
    .action(async (only: string[], options: { full?: true }) => {
      const { runTests } = await import('../test.ts')
      process.exitCode = await runTests({ root: project.root, full: options.full ?? false, only, signal })
    })

  program
    .command('mutate')
    .description('break the sources on purpose, in copies, and see the tests fail; writes mutate.json')
    .argument('[part...]', 'only mutants whose list, file, rule or description contains one of these')
    .action(async (only: string[]) => {
      const { mutate } = await import('../mutate.ts')
      process.exitCode = await mutate({ root: project.root, reportsDir: project.reportsDir, only, signal })
    })

  program
    .command('prose')
    .description('print the average words a sentence of the documents and of the comments')
    .option('--longer-than <words>', 'also print every sentence with more words than this', Number)
    .action(async ({ longerThan }: { longerThan?: number }) => {
      const { printProse } = await import('../prose.ts')
      process.exitCode = printProse(
        project.root,
        longerThan === undefined ? {} : { longestWords: longerThan },
      )
    })
}
