// `mailfleet image prune`: name, options and help of the command that removes old images from AWS.
import { InvalidArgumentError, Option, type Command } from 'commander'
import { duration, regionNames, type Context } from './context.ts'

const DAY_MS = 86_400_000
const GRACE_DAYS = 14

/** Adds the command to `mailfleet image`. */
export function addPruneCommands(image: Command, { signal }: Context): void {
  image
    .command('prune')
    .description(
      'say which images of ours in AWS nothing needs, and why each is kept; with --apply remove them',
    )
    .option('--keep <number>', 'images of each channel that were good last, at least 1', keepNumber, 3)
    .addOption(
      new Option('--grace <time>', 'that an image stays once made, and again once deprecated')
        .argParser(duration)
        .default(GRACE_DAYS * DAY_MS, `${GRACE_DAYS} days`),
    )
    .option('--region <names>', 'with commas; by default AWS_REGION, or the profile’s', regionNames)
    .option('--apply', 'deprecate what nothing needs, and delete what was deprecated for the time of grace')
    .addOption(new Option('--dry-run', 'change nothing, as without --apply').conflicts('apply'))
    .option('--json', 'print it as JSON')
    .action(async (flags: { keep: number; grace: number; region?: string[]; apply?: true; json?: true }) => {
      const { imagePrune } = await import('../prune.ts')
      process.exitCode = await imagePrune({
        ...{ signal, keep: flags.keep, graceMs: flags.grace },
        ...{ apply: flags.apply ?? false, json: flags.json ?? false },
        ...(flags.region === undefined ? {} : { regions: flags.region }),
      })
    })
}

function keepNumber(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number, 1 or more.')
}
