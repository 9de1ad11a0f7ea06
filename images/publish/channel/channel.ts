// A channel: the parameter /mailfleet/CHANNEL/image of a region, which deploys resolve to an AMI.
// Owns its reading and writing. The parameter's versions are the only history of a channel.
// Fails with AWS's error, or with a sentence when AWS does not keep the written value.
import { imageParameter } from '../../../contract/ssm-parameters.ts'
import {
  DeleteParameterCommand,
  GetParameterCommand,
  paginateGetParameterHistory,
  ParameterNotFound,
  PutParameterCommand,
  type ParameterHistory,
  type SSMClient,
} from '@aws-sdk/client-ssm'
import * as v from 'valibot'
import { waitUntilSettled, type AwsLimits } from '../aws/retry.ts'

/** Why the parameter was written: a promotion, a revert by hand, or a rollback after a failure in another region. */
export type MoveReason = 'promote' | 'revert' | 'rollback'

/** The note of a move, in the description of the parameter's version. */
const Note = v.object({
  by: v.picklist(['promote', 'revert', 'rollback']),
  digest: v.nullable(v.string()),
  regions: v.array(v.string()),
})
export type Note = v.InferOutput<typeof Note>

/** One version of the parameter. `note` is null when another program wrote it. */
export type ChannelVersion = { imageId: string; atMs: number; note: Note | null }

export type ChannelAt = { ssm: SSMClient; channel: string }

/** AWS looks an image up within seconds. */
const WRITTEN_MS = 60_000

/** The current AMI of the channel; null when there is no such channel. */
export async function readChannel({ ssm, channel }: ChannelAt): Promise<string | null> {
  try {
    const command = new GetParameterCommand({ Name: imageParameter(channel) })
    return (await ssm.send(command)).Parameter?.Value ?? null
  } catch (error) {
    if (error instanceof ParameterNotFound) return null
    throw error
  }
}

/** The history of the channel, oldest first. AWS keeps the last hundred versions of a parameter. */
export async function channelHistory({ ssm, channel }: ChannelAt): Promise<ChannelVersion[]> {
  const found: ParameterHistory[] = []
  const request = { Name: imageParameter(channel) }
  try {
    for await (const page of paginateGetParameterHistory({ client: ssm }, request))
      found.push(...(page.Parameters ?? []))
  } catch (error) {
    if (!(error instanceof ParameterNotFound)) throw error
  }
  return found
    .sort((a, b) => (a.Version ?? 0) - (b.Version ?? 0))
    .map(({ Value = '', LastModifiedDate, Description }) => ({
      imageId: Value,
      atMs: LastModifiedDate?.getTime() ?? 0,
      note: noteIn(Description),
    }))
}

/** Points the channel at the AMI. With null it deletes the parameter, because there was none before. */
export async function writeChannel(
  o: ChannelAt & { limits: AwsLimits; signal: AbortSignal },
  imageId: string | null,
  note: Note,
): Promise<void> {
  const { ssm, signal } = o
  const Name = imageParameter(o.channel)
  if (imageId === null) {
    await ssm.send(new DeleteParameterCommand({ Name }))
    return
  }
  const request = { Name, Value: imageId, Type: 'String', DataType: 'aws:ec2:image' } as const
  const described = { ...request, Description: JSON.stringify(note), Overwrite: true }
  await ssm.send(new PutParameterCommand(described))
  // AWS looks the image up after it has answered, and drops the value if it finds none
  // (Systems Manager user guide, native parameter support for AMI ids).
  const written = async () => ((await readChannel(o)) === imageId ? true : null)
  const limits = { ...o.limits, settleMs: Math.min(o.limits.settleMs, WRITTEN_MS) }
  await waitUntilSettled(`writing ${Name}`, written, { limits, signal })
}

function noteIn(description = ''): Note | null {
  try {
    return v.parse(Note, JSON.parse(description))
  } catch {
    return null
  }
}
