// `mailfleet image history`: prints what a channel pointed at, newest first.
import type { Command } from 'commander'
import { imageParameter } from '../../../contract/ssm-parameters.ts'
import { channelHistory } from '../../../images/publish/channel/channel.ts'
import { clientsOfRun } from '../../../images/publish/aws/clients.ts'
import { AWS_LIMITS } from '../../../images/publish/aws/retry.ts'
import { goodChannelStays } from '../../../images/publish/channel/history.ts'
import {
  CHANNEL,
  channelOptions,
  firstClients,
  type ChannelFlags,
  type ChannelOptions,
} from '../../channel-command.ts'
import { regionName, type CommandContext } from '../../options.ts'

const oneRegion = (text: string) => [regionName(text)]

export default function addHistory(image: Command, { signal }: CommandContext): void {
  image
    .command('history')
    .description('print what a channel pointed at, newest first')
    .requiredOption(...CHANNEL)
    .option('--region <name>', 'the region; by default AWS_REGION, or the profile’s', oneRegion)
    .option('--json', 'print it as JSON')
    .action((flags: ChannelFlags) => printHistory(channelOptions(signal, flags)))
}

async function printHistory(o: ChannelOptions): Promise<void> {
  const run = { limits: AWS_LIMITS, signal: o.signal }
  const aws = clientsOfRun(await firstClients(o.regions), run)
  const moves = await channelHistory({ ...o, ssm: aws.ssm })
  const good = new Set(goodChannelStays(moves).map(({ imageId }) => imageId))
  const entries = moves.toReversed().map(({ imageId, atMs, note }) => {
    const at = new Date(atMs).toISOString()
    return { at, imageId, digest: note?.digest ?? null, by: note?.by ?? null, good: good.has(imageId) }
  })
  if (o.json) console.log(JSON.stringify(entries, null, 2))
  else if (entries.length === 0) console.log(`${imageParameter(o.channel)} in ${aws.region}: nothing yet`)
  else
    for (const { at, imageId, digest, by, good: isGood } of entries)
      console.log(
        `${at}  ${imageId}  ${digest?.slice(0, 12) ?? 'unknown'}  ${by ?? 'by hand'}${isGood ? '' : '  (taken back)'}`,
      )
}
