// The command line. Owns: the commands' names, options and help, the exit codes (0 done, 1 it ran and the
// answer is no, 2 bad input or usage, 3 it could not tell, 128+n ended by signal n), and stopping in order when told to.
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { InputError } from '../input/problems.ts'
import { addArchiveCommands } from './cli/archive.ts'
import { addBenchCommands } from './cli/bench.ts'
import { addDiffCommands } from './cli/diff.ts'
import { addImageCommands } from './cli/image.ts'
import { addPromoteCommands } from './cli/promote.ts'
import { seconds } from './cli/context.ts'
import { addPruneCommands } from './cli/prune.ts'
import { addPublishCommands } from './cli/publish.ts'
import { addTestCommands } from './cli/tests.ts'
import { projectAt } from './project.ts'

const project = projectAt(join(dirname(fileURLToPath(import.meta.url)), '..'))
/** A terminal's Ctrl-C reaches both the launcher and us, and the launcher passes it on: one wish, two signals. */
const SAME_WISH_MS = 300

const stopping = new AbortController()
watchForStop()

const context = { project, signal: stopping.signal }
const program = new Command('mailfleet')
  .description('Bakes a mail forwarding server into a machine image, and runs fleets of it.')
  .version(versionOf(project.root))
  .showHelpAfterError()
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))

program
  .command('start')
  .description(
    'the main job on this machine: bake the image, boot-test it, run a fleet of it through a storm, report',
  )
  .option('--json', 'print the report as JSON on standard output, progress on standard error')
  .option('--retest', 'boot-test the image again even if it has a receipt')
  .option('--timeout <seconds>', 'give up a boot after this long, even if it makes progress', seconds, 1800)
  .action(async (options: { json?: true; retest?: true; timeout: number }) => {
    const { start } = await import('./start.ts')
    process.exitCode = await start({
      project,
      json: options.json ?? false,
      retest: options.retest ?? false,
      timeoutMs: options.timeout * 1000,
      signal: stopping.signal,
    })
  })

const image = program.command('image').description('bake, lock, test and publish golden images')
addImageCommands(image, context)
addDiffCommands(image, context)
addArchiveCommands(image, context)
addPublishCommands(image, context)
addPromoteCommands(image, context)
addPruneCommands(image, context)
addBenchCommands(program, context)
addTestCommands(program, context)

program
  .command('fleet')
  .description('fleets of a baked image on this machine')
  .command('up')
  .description('run a fleet of the newest boot-tested image until it is told to stop; then drain it')
  .requiredOption('--config <file>', 'the fleet’s configuration (JSON or YAML): docs/fleet.md')
  .action(async (options: { config: string }) => {
    const { fleetUp } = await import('./fleet.ts')
    process.exitCode = await fleetUp({ project, configFile: options.config, signal: stopping.signal })
  })

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof InputError) {
    console.error(error.message)
    process.exitCode = 2
  } else if (stopping.signal.aborted) {
    console.error('stopped before it was done')
  } else {
    console.error(error instanceof Error ? error.message : error)
    if (process.env['DEBUG'] && error instanceof Error) console.error(error.stack)
    process.exitCode = 1
  }
}
if (stopping.signal.aborted) process.exitCode = stopping.signal.reason as number
// What is still open by now (a keep-alive socket, the launcher's channel) must not keep a finished command.
process.exit()

function versionOf(root: string): string {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  return manifest.version
}

/** The first signal, or the launcher's end, asks the command to stop in order; another signal later stops at once. */
function watchForStop(): void {
  let firstMs = 0
  const stop = (signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP') => {
    const exitCode = 128 + constants.signals[signal]
    if (firstMs === 0) {
      firstMs = Date.now()
      stopping.abort(exitCode)
    } else if (Date.now() - firstMs > SAME_WISH_MS) {
      process.exit(exitCode)
    }
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  process.on('disconnect', () => stop('SIGTERM'))
  process.channel?.unref()
}
