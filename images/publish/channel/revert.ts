// Points a channel back at an earlier good image. It needs no image on this machine.
// Owns the search in each region's own history, and checks that the image can still be launched.
// Fails with a sentence; the channel is then unchanged.
import { channelHistory, type ChannelVersion } from './channel.ts'
import { clientsOfRun, type AwsClients } from '../aws/clients.ts'
import { goodChannelStays, previousGood, type ChannelStay } from './history.ts'
import { moveChannel, type ChannelMove } from './move-channel.ts'
import { AWS_LIMITS, type AwsLimits } from '../aws/retry.ts'
import { availableImage } from '../register.ts'

export type RevertOptions = {
  channel: string
  /** An AMI or a digest from the channel's history; the last good one before the current when undefined. */
  to?: string
  /** The default is the regions of the last promotion. */
  regions?: string[]
  /** The clients of the region whose history names the others. */
  aws: AwsClients
  clientsOf: (region: string) => Promise<AwsClients>
  signal: AbortSignal
  limits?: AwsLimits
}

/** Points the channel back. @returns a move for each region */
export async function revertChannel(o: RevertOptions): Promise<ChannelMove[]> {
  const limits = o.limits ?? AWS_LIMITS
  const run = { limits, signal: o.signal }
  const home = clientsOfRun(o.aws, run)
  const here = await channelHistory({ ...o, ssm: home.ssm })
  const regions = o.regions ?? here.at(-1)?.note?.regions ?? [home.region]
  const places = await Promise.all(
    regions.map(async (region) => {
      const aws = region === home.region ? home : clientsOfRun(await o.clientsOf(region), run)
      return { aws, moves: await channelHistory({ ...o, ssm: aws.ssm }) }
    }),
  )
  const wish = o.to === undefined ? undefined : (digestOf(o.to, places) ?? o.to)
  const chosen = places.map(({ aws, moves }) => ({ aws, stay: wishedIn(o, aws.region, moves, wish) }))
  const digests = new Set(chosen.map(({ stay }) => stay.digest))
  if (digests.size > 1) {
    const each = chosen.map(({ aws, stay }) => `${aws.region}: ${stay.digest ?? stay.imageId}`)
    throw new Error(`the regions were not at the same image before (${each.join(', ')}); name one with --to`)
  }
  await Promise.all(chosen.map(({ aws, stay }) => availableImage(aws.ec2, stay.imageId, { ...o, limits })))
  const targets = chosen.map(({ aws, stay }) => ({ aws, imageId: stay.imageId }))
  const [digest = null] = digests
  return moveChannel(targets, { ...o, limits, note: { by: 'revert', digest, regions } })
}

/** An AMI id is valid in one region only. Other regions find the image by its digest. */
function digestOf(to: string, places: { moves: ChannelVersion[] }[]): string | null | undefined {
  return places.flatMap(({ moves }) => moves).find(({ imageId }) => imageId === to)?.note?.digest
}

function wishedIn(
  { channel }: RevertOptions,
  region: string,
  moves: ChannelVersion[],
  wish: string | undefined,
): Pick<ChannelStay, 'imageId' | 'digest'> {
  if (wish === undefined) {
    const previous = previousGood(moves)
    if (previous !== null) return previous
    throw new Error(`channel ${channel} in ${region} has no earlier image to go back to`)
  }
  const found = moves.findLast(({ imageId, note }) => imageId === wish || note?.digest?.startsWith(wish))
  if (found) return { imageId: found.imageId, digest: found.note?.digest ?? null }
  const good = goodChannelStays(moves).map(
    ({ imageId, digest }) => `${imageId}${digest === null ? '' : ` (${digest.slice(0, 12)})`}`,
  )
  throw new Error(
    `channel ${channel} in ${region} was never at ${wish}, but at ${good.join(', ') || 'nothing'}`,
  )
}
