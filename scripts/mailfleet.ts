// The command line. Owns: the commands' names, options and help, the exit codes (0 done, 1 it ran and the
// answer is no, 2 bad input or usage, 128+n ended by signal n), and stopping in order when told to.
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { Accel } from '../images/boot/qemu-arguments.ts'
import { InputError } from '../input/problems.ts'
import { projectAt } from './project.ts'

const project = projectAt(join(dirname(fileURLToPath(import.meta.url)), '..'))
/** A terminal's Ctrl-C reaches both the launcher and us, and the launcher passes it on: one wish, two signals. */
const SAME_WISH_MS = 300

const stopping = new AbortController()
watchForStop()

const program = new Command('mailfleet')
  .description('Bakes a mail forwarding server into a machine image, and runs fleets of it.')
  .showHelpAfterError()
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))

program
  .command('start')
  .description(
    'the main job on this machine: bake the image, boot-test it, run a fleet of it through a storm, report',
  )
  .option('--json', 'print the report as JSON on standard output, progress on standard error')
  .option('--retest', 'boot-test the image again even if it has a receipt')
  .action(async (options: { json?: true; retest?: true }) => {
    const { start } = await import('./start.ts')
    process.exitCode = await start({
      project,
      json: options.json ?? false,
      retest: options.retest ?? false,
      signal: stopping.signal,
    })
  })

program
  .command('test')
  .description('run the tests; writes build/reports/test.json')
  .argument('[path...]', 'only test files whose path contains one of these')
  .option('--full', 'also what takes long: more power cuts, both-ways proofs, a real browser')
  .action(async (only: string[], options: { full?: true }) => {
    const { runTests } = await import('./test.ts')
    process.exitCode = await runTests({ root: project.root, full: options.full ?? false, only })
  })

const image = program.command('image').description('bake, lock and boot-test golden images')

image
  .command('build')
  .description('bake the image from the lock; unchanged inputs are not baked again')
  .option('--json', 'print the result as JSON')
  .action(async (options: { json?: true }) => {
    const { imageBuild } = await import('./image.ts')
    process.exitCode = await imageBuild({ project, json: options.json ?? false, signal: stopping.signal })
  })

image
  .command('lock')
  .description('resolve the spec against the mirror and write images/image.lock.json')
  .option('--json', 'print the differences as JSON')
  .action(async (options: { json?: true }) => {
    const { imageLock } = await import('./image.ts')
    process.exitCode = await imageLock({ project, json: options.json ?? false, signal: stopping.signal })
  })

image
  .command('test')
  .description('boot an image in QEMU, network cut off, forward a message through it, write its receipt')
  .argument('[image]', 'its folder or digest; the newest by default')
  .addOption(new Option('--accel <name>', 'accelerator').choices(['auto', 'kvm', 'tcg']).default('auto'))
  .option('--timeout <seconds>', 'give up after this long', positiveNumber, 240)
  .option('--json', 'print the receipt as JSON')
  .action(
    async (name: string | undefined, options: { accel: Accel | 'auto'; timeout: number; json?: true }) => {
      const { imageTest } = await import('./image.ts')
      process.exitCode = await imageTest({
        ...{ project, json: options.json ?? false, signal: stopping.signal },
        ...{ accel: options.accel, timeoutMs: options.timeout * 1000 },
        ...(name === undefined ? {} : { image: name }),
      })
    },
  )

type PublishFlags = {
  region?: string
  kmsKey?: string
  encrypt?: true
  verify?: true
  dryRun?: true
  allowUnlocked?: true
  allowVolatile?: true
  json?: true
}

image
  .command('publish')
  .description(
    'make an AMI of a boot-tested image in one region of AWS; what is there already is not made again',
  )
  .argument('[image]', 'its folder or digest; the newest by default')
  .option('--region <name>', 'the region; by default AWS_REGION, or the profile’s')
  .option(
    '--dry-run',
    'only say what it would take; no account, no network. Writes build/reports/publish-plan.json',
  )
  .option('--encrypt', 'encrypt the snapshot (the account’s default applies otherwise)')
  .option('--kms-key <arn>', 'encrypt it with this key')
  .option('--verify', 'read the snapshot back and compare it with the disk')
  .option('--allow-unlocked', 'even if its packages are not those of the committed lock')
  .option('--allow-volatile', 'even if its queue is lost with the instance')
  .option('--json', 'print the result as JSON')
  .action(async (name: string | undefined, { dryRun, ...flags }: PublishFlags) => {
    const { imagePublish, imagePublishPlan } = await import('./publish.ts')
    const options = {
      ...{ project, signal: stopping.signal, ...(name === undefined ? {} : { image: name }) },
      ...{ ...flags, json: flags.json ?? false, verify: flags.verify ?? false },
      ...{ allowUnlocked: flags.allowUnlocked ?? false, allowVolatile: flags.allowVolatile ?? false },
      encrypt: flags.encrypt ?? flags.kmsKey !== undefined,
    }
    process.exitCode = await (dryRun ? imagePublishPlan(options) : imagePublish(options))
  })

image
  .command('promote')
  .description('point a channel’s parameter in AWS at a published image, which deploys then take')
  .argument('[image]', 'its folder or digest; the newest by default')
  .requiredOption('--channel <name>', 'the channel, such as prod', channelName)
  .option('--region <name>', 'the region; by default AWS_REGION, or the profile’s')
  .option('--json', 'print what changed as JSON')
  .action(
    async (
      name: string | undefined,
      { json, ...options }: { channel: string; region?: string; json?: true },
    ) => {
      const { imagePromote } = await import('./publish.ts')
      process.exitCode = await imagePromote({
        ...{ project, json: json ?? false, signal: stopping.signal, ...options },
        ...(name === undefined ? {} : { image: name }),
      })
    },
  )

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

function positiveNumber(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('expected a number above 0.')
  return value
}

function channelName(text: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,62}$/.test(text)) return text
  throw new InvalidArgumentError('expected lower-case letters, digits and hyphens.')
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
