// `mailfleet image promote|revert|history`: names, options and help of the commands that move a channel in AWS.
import type { Command } from 'commander'
import { channelName, duration, regionName, regionNames, RECEIPT_KEY, type Context } from './context.ts'

type Flags = { channel: string; region?: string[]; json?: true }

type PromoteFlags = Flags & { after?: string; soak?: number; receiptKey?: string }

const CHANNEL = ['--channel <name>', 'the channel, such as prod', channelName] as const
const JSON_OUT = ['--json', 'print what changed as JSON'] as const

/** Adds the commands to `mailfleet image`. */
export function addPromoteCommands(image: Command, { project, signal }: Context): void {
  image
    .command('promote')
    .description('point a channel at a published image, which deploys then take; in every region or in none')
    .argument('[image]', 'its folder or digest; the newest by default')
    .requiredOption(...CHANNEL)
    .option(
      '--region <names>',
      'only these, with commas; by default all that it was published to',
      regionNames,
    )
    .option('--after <channel>', 'only if it was this channel’s image before', channelName)
    .option('--soak <time>', 'and for so long: 90m, 12h, 3d', duration)
    .option(...RECEIPT_KEY)
    .option(...JSON_OUT)
    .action(
      async (
        name: string | undefined,
        { after, soak = 0, receiptKey, ...flags }: PromoteFlags,
        command: Command,
      ) => {
        if (soak > 0 && after === undefined) command.error('error: --soak needs --after CHANNEL')
        const { imagePromote } = await import('../promote.ts')
        process.exitCode = await imagePromote({
          ...{ project, signal, ...common(flags) },
          ...(name === undefined ? {} : { image: name }),
          ...(receiptKey === undefined ? {} : { receiptKey }),
          // Without a time: for any time at all.
          ...(after === undefined ? {} : { soak: { after, soakMs: Math.max(soak, 1) } }),
        })
      },
    )

  image
    .command('revert')
    .description('point a channel back at the image before, in every region of its last promotion or in none')
    .requiredOption(...CHANNEL)
    .option('--to <image>', 'not the one before, but this AMI or digest of the channel’s history')
    .option('--region <names>', 'only these, with commas; known from AWS_REGION’s by default', regionNames)
    .option(...JSON_OUT)
    .action(async ({ to, ...flags }: Flags & { to?: string }) => {
      const { imageRevert } = await import('../promote.ts')
      process.exitCode = await imageRevert({ signal, ...common(flags), ...(to === undefined ? {} : { to }) })
    })

  image
    .command('history')
    .description('print what a channel was at, newest first')
    .requiredOption(...CHANNEL)
    .option('--region <name>', 'the region; by default AWS_REGION, or the profile’s', oneRegion)
    .option('--json', 'print it as JSON')
    .action(async (flags: Flags) => {
      const { imageHistory } = await import('../promote.ts')
      process.exitCode = await imageHistory({ signal, ...common(flags) })
    })
}

const oneRegion = (text: string) => [regionName(text)]

const common = ({ channel, region, json }: Flags) => ({
  ...{ channel, json: json ?? false },
  ...(region === undefined ? {} : { regions: region }),
})
