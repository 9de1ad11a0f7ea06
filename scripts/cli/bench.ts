// `mailfleet bench …`: names, options and help of the benchmarks.
import type { Command } from 'commander'
import type { Context } from './context.ts'

/** Adds `bench` to the program. */
export function addBenchCommands(program: Command, { project, signal }: Context): void {
  const bench = program.command('bench').description('measure on this machine; figures go to build/reports/')

  bench
    .command('bake')
    .description('time bakes: unchanged, the server changed, from nothing twice; writes bench-bake.json')
    .option('--document', 'also write the figures into docs/benchmarks.md')
    .option('--json', 'print the figures as JSON')
    .action(async (options: { json?: true; document?: true }) => {
      const { bakeBenchmark } = await import('../bench.ts')
      const { json = false, document = false } = options
      process.exitCode = await bakeBenchmark({ project, signal, json, document })
    })

  bench
    .command('boot')
    .description(
      'boot the golden image, a conventional one, and one that installs at boot; compare; writes bench-boot.json',
    )
    .option('--document', 'also write the figures into docs/benchmarks.md')
    .option('--json', 'print the figures as JSON')
    .action(async (options: { json?: true; document?: true }) => {
      const { bootBenchmark } = await import('../bench.ts')
      const { json = false, document = false } = options
      process.exitCode = await bootBenchmark({ project, signal, json, document })
    })
}
