// Moves a channel in all regions or in none. It reads every region before it writes one.
// When a region fails, it moves the earlier ones back, and names a region that it could not move back.
// Fails with a sentence. A killed run may leave the channel half moved; the same command then moves the rest.
import { imageParameter } from '../../../contract/ssm-parameters.ts'
import { readChannel, writeChannel, type Note } from './channel.ts'
import { clientsOfRun, type AwsClients } from '../aws/clients.ts'
import type { AwsLimits } from '../aws/retry.ts'

export type Target = { aws: AwsClients; imageId: string }

export type ChannelMove = {
  parameter: string
  region: string
  /** The AMI before; null when the channel is new. */
  from: string | null
  /** The AMI now. */
  to: string
}

export type MoveOptions = {
  channel: string
  limits: AwsLimits
  signal: AbortSignal
  /** The note in the description of the parameter's new version. */
  note: Note
}

type Planned = ChannelMove & { aws: AwsClients }

/** The way back has a time limit of its own, because the signal of the run may already be aborted. */
const ROLLBACK_MS = 120_000

/** Points the channel at these AMIs, one a region. */
export async function moveChannel(targets: readonly Target[], o: MoveOptions): Promise<ChannelMove[]> {
  const parameter = imageParameter(o.channel)
  const planned: Planned[] = await Promise.all(
    targets.map(async ({ aws, imageId }) => {
      const from = await readChannel({ ...o, ssm: aws.ssm })
      return { aws, parameter, region: aws.region, from, to: imageId }
    }),
  )
  const begun: Planned[] = []
  for (const region of planned.filter(({ from, to }) => from !== to)) {
    // A failed write may still have taken effect, so it is taken back too.
    begun.push(region)
    try {
      o.signal.throwIfAborted()
      await writeChannel({ ...o, ssm: region.aws.ssm }, region.to, o.note)
    } catch (error) {
      await moveBack(begun, o, error as Error)
    }
  }
  return planned.map(({ parameter, region, from, to }) => ({ parameter, region, from, to }))
}

async function moveBack(begun: Planned[], o: MoveOptions, cause: Error): Promise<never> {
  const signal = AbortSignal.timeout(ROLLBACK_MS)
  const note: Note = { ...o.note, by: 'rollback', digest: null }
  const left: string[] = []
  for (const { aws, from, to, region } of begun.toReversed()) {
    const { ssm } = clientsOfRun(aws, { limits: o.limits, signal })
    const at = { ...o, ssm, signal }
    try {
      if ((await readChannel(at)) === to) await writeChannel(at, from, note)
    } catch {
      left.push(`${region} (${from ?? 'nothing'} → ${to})`)
    }
  }
  const where = `${begun.at(-1)!.region}: ${cause.message}`
  const outcome =
    left.length === 0
      ? 'the channel stands where it stood, in every region'
      : `${left.join(', ')} could not be moved back: run this again to finish, or \`image revert\` there`
  throw new Error(`${imageParameter(o.channel)} was not moved, for ${where.replace(/\.$/, '')}; ${outcome}`, {
    cause,
  })
}
