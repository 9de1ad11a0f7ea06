// `mailfleet doctor`: checks this machine and prints what mends each problem. Exit 1 when there is a problem.
import type { Command } from 'commander'
import { checksText, machineChecks, runChecks } from '../machine-checks.ts'
import type { CommandContext } from '../options.ts'
import { untilAborted } from '../steps.ts'

export default function addDoctor(program: Command, { project, signal }: CommandContext): void {
  program
    .command('doctor')
    .description('check what a run needs of this machine, and print what mends each problem')
    .option('--quick', 'only what needs no network and takes less than a second')
    .option('--json', 'print the results as JSON')
    .action(async ({ quick = false, json = false }: { quick?: boolean; json?: boolean }) => {
      const checks = machineChecks(project).filter((check) => !quick || check.quick)
      const results = await untilAborted(runChecks(checks), signal)
      console.log(json ? JSON.stringify(results, null, 2) : checksText(results))
      process.exitCode = results.some(({ status }) => status === 'problem') ? 1 : 0
    })
}
