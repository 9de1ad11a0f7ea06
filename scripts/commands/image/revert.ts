// `mailfleet image revert`: points a channel back at an image that it pointed at before.
import type { Command } from 'commander'
import { revertChannel } from '../../../images/publish/channel/revert.ts'
import {
  CHANNEL,
  channelOptions,
  clientsOf,
  firstClients,
  JSON_CHANGES,
  printMoves,
  reportingStop,
  type ChannelFlags,
} from '../../channel-command.ts'
import { regionNames, type CommandContext } from '../../options.ts'

export default function addRevert(image: Command, { signal }: CommandContext): void {
  image
    .command('revert')
    .description('point a channel back at the image before, in every region of its last promotion or in none')
    .requiredOption(...CHANNEL)
    .option('--to <image>', 'not the one before, but this AMI or digest of the channel’s history')
    .option('--region <names>', 'only these, with commas; known from AWS_REGION’s by default', regionNames)
    .option(...JSON_CHANGES)
    .action(async ({ to, ...flags }: ChannelFlags & { to?: string }) => {
      const options = channelOptions(signal, flags)
      const aws = await firstClients(options.regions)
      const moving = revertChannel({ ...options, aws, clientsOf, ...(to === undefined ? {} : { to }) })
      printMoves(await reportingStop(moving, signal), options.json)
    })
}
