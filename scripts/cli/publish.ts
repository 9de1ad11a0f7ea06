// `mailfleet image publish|promote`: names, options and help of the commands that bring an image to AWS.
import type { Command } from 'commander'
import { channelName, type Context } from './context.ts'

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

/** Adds the commands to `mailfleet image`. */
export function addPublishCommands(image: Command, { project, signal }: Context): void {
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
      const { imagePublish, imagePublishPlan } = await import('../publish.ts')
      const options = {
        ...{ project, signal: signal, ...(name === undefined ? {} : { image: name }) },
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
        const { imagePromote } = await import('../publish.ts')
        process.exitCode = await imagePromote({
          ...{ project, json: json ?? false, signal: signal, ...options },
          ...(name === undefined ? {} : { image: name }),
        })
      },
    )
}
