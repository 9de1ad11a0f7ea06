// `mailfleet image promote|revert|history`: parse, call one function of images/publish/, print what moved.
import { trustedReceiptKeys } from '../images/boot/receipt-key.ts'
import { imageParameter } from '../contract/ssm-parameters.ts'
import { channelHistory } from '../images/publish/channel.ts'
import { awsClients, explained } from '../images/publish/clients.ts'
import { goodStays } from '../images/publish/history.ts'
import type { Moved } from '../images/publish/move-channel.ts'
import { promote, type Soak } from '../images/publish/promote.ts'
import { revert } from '../images/publish/revert.ts'
import { bakedImage } from './image.ts'
import type { Project } from './project.ts'

type Common = { json: boolean; signal: AbortSignal; channel: string; regions?: string[] }

const clientsOf = (region: string) => awsClients({ region })

/** Points a channel at a published image, in every region or in none. */
export async function imagePromote(
  o: Common & { project: Project; image?: string; soak?: Soak; receiptKey?: string },
): Promise<number> {
  const { digest, folder } = bakedImage(o.project, o.image)
  const receiptKeys = trustedReceiptKeys(process.env, o.receiptKey)
  return printMoves(await told(promote({ ...o, folder, digest, receiptKeys, clientsOf }), o), o)
}

/** Points a channel at an image that it was at before. */
export async function imageRevert(o: Common & { to?: string }): Promise<number> {
  const [region] = o.regions ?? []
  const aws = await awsClients(region === undefined ? {} : { region })
  return printMoves(await told(revert({ ...o, aws, clientsOf }), o), o)
}

/** Prints what a channel was at, newest first. */
export async function imageHistory(o: Common): Promise<number> {
  const [region] = o.regions ?? []
  const aws = await awsClients(region === undefined ? {} : { region })
  const moves = await explained(channelHistory({ ...o, ssm: aws.ssm }))
  const good = new Set(goodStays(moves).map(({ imageId }) => imageId))
  const lines = moves.toReversed().map(({ imageId, atMs, note }) => {
    const at = new Date(atMs).toISOString()
    return { at, imageId, digest: note?.digest ?? null, by: note?.by ?? null, good: good.has(imageId) }
  })
  if (o.json) console.log(JSON.stringify(lines, null, 2))
  else if (lines.length === 0) console.log(`${imageParameter(o.channel)} in ${aws.region}: nothing yet`)
  else
    for (const { at, imageId, digest, by, good: isGood } of lines)
      console.log(
        `${at}  ${imageId}  ${digest?.slice(0, 12) ?? 'unknown'}  ${by ?? 'by hand'}${isGood ? '' : '  (taken back)'}`,
      )
  return 0
}

/** Of a command that is stopped only that is said; here it matters how it left the channel. */
async function told<T>(work: Promise<T>, { signal }: Common): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (signal.aborted) console.error((error as Error).message)
    throw error
  }
}

function printMoves(moves: readonly Moved[], { json }: Common): number {
  if (json) console.log(JSON.stringify(moves, null, 2))
  else
    for (const { parameter, region, from, to } of moves)
      console.log(
        `${parameter} in ${region}: ${from ?? 'nothing'} → ${to}${from === to ? ' (unchanged)' : ''}`,
      )
  return 0
}
