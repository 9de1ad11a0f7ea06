// `mailfleet image prune`: prints why each image of ours in AWS stays or goes; with --apply removes what goes.
import { InvalidArgumentError, Option, type Command } from 'commander'
import { connectAws } from '../../../images/publish/aws/clients.ts'
import { pruneImages, type PruneResult } from '../../../images/publish/retention/prune.ts'
import { duration, progressOnStderr, regionNames, type CommandContext } from '../../options.ts'

const DAY_MS = 86_400_000
const GRACE_DAYS = 14

type PruneFlags = { keep: number; grace: number; region?: string[]; apply?: true; json?: true }

export default function addPrune(image: Command, { signal }: CommandContext): void {
  image
    .command('prune')
    .description(
      'print which images of ours in AWS are not needed, and why each is kept; with --apply remove them',
    )
    .option('--keep <number>', 'images of each channel that were good last, at least 1', keepNumber, 3)
    .addOption(
      new Option('--grace <time>', 'how long an image stays once made, and again once deprecated')
        .argParser(duration)
        .default(GRACE_DAYS * DAY_MS, `${GRACE_DAYS} days`),
    )
    .option('--region <names>', 'with commas; by default AWS_REGION, or the profile’s', regionNames)
    .option('--apply', 'deprecate what is not needed, and delete what has been deprecated for the grace time')
    .addOption(new Option('--dry-run', 'change nothing, as without --apply').conflicts('apply'))
    .option('--json', 'print it as JSON')
    .action(async (flags: PruneFlags) => {
      process.exitCode = await pruneRegions(flags, signal)
    })
}

/** @returns 1 when something could not be removed */
async function pruneRegions(flags: PruneFlags, signal: AbortSignal): Promise<number> {
  const { keep, grace: graceMs, apply = false, json = false } = flags
  // All regions must be known before anything is removed in one.
  const clients = await Promise.all(
    (flags.region ?? [undefined]).map((region) => connectAws(region === undefined ? {} : { region })),
  )
  const found: { region: string; pruned: PruneResult[] }[] = []
  for (const aws of clients) {
    const pruned = await pruneImages({ keep, graceMs, apply, aws, signal, onProgress: progressOnStderr })
    found.push({ region: aws.region, pruned })
  }
  if (json) console.log(JSON.stringify(found, null, 2))
  else for (const { region, pruned } of found) console.log(pruneText(region, pruned, apply))
  return found.some(({ pruned }) => pruned.some(({ problem }) => problem !== undefined)) ? 1 : 0
}

function pruneText(region: string, pruned: readonly PruneResult[], applied: boolean): string {
  const lines = pruned.map(({ action, id, digest, reasons, problem }) => {
    const failed = problem === undefined ? '' : `; failed: ${problem}`
    return `${action.padEnd(9)}  ${id}  ${digest.slice(0, 12)}  ${reasons.join('; ')}${failed}`
  })
  const toDo = pruned.filter(({ action }) => action !== 'keep').length
  const hint = applied || toDo === 0 ? [] : [`nothing was changed: ${toDo} to do with --apply`]
  return [`${region}: ${pruned.length} images, and snapshots without one`, ...lines, ...hint].join('\n')
}

function keepNumber(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number, 1 or more.')
}
