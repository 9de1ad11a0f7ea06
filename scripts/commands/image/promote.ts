// `mailfleet image promote`: points a channel at a published image, in every region or in none.
import type { Command } from 'commander'
import { trustedReceiptKeys } from '../../../images/boot/receipt-key.ts'
import { promoteToChannel } from '../../../images/publish/channel/promote.ts'
import { bakedImage } from '../../baked-image.ts'
import {
  CHANNEL,
  channelName,
  channelOptions,
  clientsOf,
  JSON_CHANGES,
  printMoves,
  reportingStop,
  type ChannelFlags,
} from '../../channel-command.ts'
import { duration, RECEIPT_KEY, regionNames, type CommandContext } from '../../options.ts'

type PromoteFlags = ChannelFlags & { after?: string; soak?: number; receiptKey?: string }

export default function addPromote(image: Command, context: CommandContext): void {
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
    .option(...JSON_CHANGES)
    .action(async (name: string | undefined, flags: PromoteFlags, command: Command) => {
      if ((flags.soak ?? 0) > 0 && flags.after === undefined)
        command.error('error: --soak needs --after CHANNEL')
      await promoteImage(name, flags, context)
    })
}

async function promoteImage(
  name: string | undefined,
  { after, soak = 0, receiptKey, ...flags }: PromoteFlags,
  { project, signal }: CommandContext,
): Promise<void> {
  const { digest, folder } = bakedImage(project, name)
  const moving = promoteToChannel({
    ...channelOptions(signal, flags),
    folder,
    digest,
    receiptKeys: trustedReceiptKeys(process.env, receiptKey),
    clientsOf,
    // Without --soak any time as that channel's image is enough.
    ...(after === undefined ? {} : { soak: { after, soakMs: Math.max(soak, 1) } }),
  })
  printMoves(await reportingStop(moving, signal), flags.json ?? false)
}
