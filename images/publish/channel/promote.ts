// Points a channel at a published image, in every region or in none.
// Owns the conditions: signed receipt, available, compared with the disk, right digest, and soak time in another channel.
// Fails with InputError (not published), or with a sentence.
import type { KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { InputError } from '../../../input/problems.ts'
import { readSignedReceipt } from '../../boot/receipt.ts'
import { channelHistory } from './channel.ts'
import { clientsOfRun, type AwsClients } from '../aws/clients.ts'
import { longestStayMs } from './history.ts'
import { moveChannel, type ChannelMove } from './move-channel.ts'
import { AWS_LIMITS, type AwsLimits } from '../aws/retry.ts'
import { readPublished, type PublishedImage } from '../published.ts'
import { availableImage } from '../register.ts'
import { DIGEST_TAG, RECEIPT_TAG } from '../../../contract/image-tags.ts'
import { tagOf } from '../snapshot/snapshots.ts'

/** The image must first have been the image of channel `after` for this time. */
export type Soak = { after: string; soakMs: number }

export type PromoteOptions = {
  /** Holds published.json and the receipt. */
  folder: string
  digest: string
  /** The keys whose receipts count. */
  receiptKeys: readonly KeyObject[]
  channel: string
  /** The default is all regions that it was published to. */
  regions?: string[]
  soak?: Soak
  clientsOf: (region: string) => Promise<AwsClients>
  signal: AbortSignal
  limits?: AwsLimits
}

/** Points the channel at the image. @returns a move for each region */
export async function promoteToChannel(o: PromoteOptions): Promise<ChannelMove[]> {
  readSignedReceipt(o.folder, o.digest, o.receiptKeys)
  const images = publishedIn(o)
  const limits = o.limits ?? AWS_LIMITS
  const targets = await Promise.all(
    images.map(async (image) => ({
      aws: clientsOfRun(await o.clientsOf(image.region), { ...o, limits }),
      imageId: image.imageId,
    })),
  )
  const checks = targets.map((target) => check({ ...o, limits }, target))
  const results = await Promise.allSettled(checks)
  o.signal.throwIfAborted()
  const problems = results.flatMap((result, i) => (result.status === 'rejected' ? [{ result, i }] : []))
  // An InputError, such as missing credentials, is thrown unchanged.
  const [first] = problems
  if (first?.result.reason instanceof InputError) throw first.result.reason
  if (problems.length > 0) {
    const lines = problems.map(({ result, i }) => `${images[i]!.region}: ${(result.reason as Error).message}`)
    throw new Error(`not promoted to ${o.channel}, in any region:\n${lines.join('\n')}`)
  }
  const regions = images.map(({ region }) => region)
  return moveChannel(targets, { ...o, limits, note: { by: 'promote', digest: o.digest, regions } })
}

/** @throws {InputError} when the image was not published to one of the regions, or not compared there. */
function publishedIn({ folder, digest, regions }: PromoteOptions): PublishedImage[] {
  const file = join(folder, 'published.json')
  const images = readPublished(folder, digest)?.images ?? []
  const found = images.length === 0 ? 'nothing' : images.map(({ region }) => region).join(', ')
  const wished = regions ?? images.map(({ region }) => region)
  const missing = wished.filter((region) => !images.some((image) => image.region === region))
  if (wished.length === 0 || missing.length > 0) {
    const [region = 'a region'] = missing
    const expected = `an image in ${region}; publish it: npx mailfleet image publish`
    throw new InputError(file, [{ key: 'images', found, expected }])
  }
  const chosen = images.filter(({ region }) => wished.includes(region))
  const problems = images.flatMap(({ region, verified }, i) =>
    chosen.includes(images[i]!) && verified === 'none'
      ? [
          {
            key: `images.${i}.verified`,
            found: `none, in ${region}`,
            expected: 'all or sample; publish it again, which only reads',
          },
        ]
      : [],
  )
  if (problems.length > 0) throw new InputError(file, problems)
  return chosen
}

async function check(
  o: PromoteOptions & { limits: AwsLimits },
  { aws, imageId }: { aws: AwsClients; imageId: string },
): Promise<void> {
  const image = await availableImage(aws.ec2, imageId, o)
  const digest = tagOf(image, DIGEST_TAG)
  if (digest !== o.digest)
    throw new Error(`image ${imageId} is tagged with digest ${digest ?? 'none'}, not ${o.digest}`)
  // A deploy refuses an image without this tag.
  if (tagOf(image, RECEIPT_TAG) === undefined)
    throw new Error(`image ${imageId} has no tag ${RECEIPT_TAG}: \`mailfleet image publish\` did not make it`)
  if (o.soak === undefined) return
  const { after, soakMs } = o.soak
  const moves = await channelHistory({ ssm: aws.ssm, channel: after })
  const stayedMs = longestStayMs(moves, imageId, Date.now())
  if (stayedMs >= soakMs) return
  const stayed = stayedMs === 0 ? 'was not' : `was for ${spanText(stayedMs)}`
  throw new Error(
    `image ${imageId} ${stayed} in channel ${after}, and is to be there for ${spanText(soakMs)}`,
  )
}

/** A time span for people. */
function spanText(ms: number): string {
  const hours = ms / 3_600_000
  if (hours >= 48) return `${(hours / 24).toFixed(1)} days`
  return hours >= 1 ? `${hours.toFixed(1)} hours` : `${Math.floor(ms / 1000)} seconds`
}
