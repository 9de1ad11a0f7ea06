// Makes a published image the one of a channel: /mailfleet/<channel>/image in the Parameter Store, which deploys read.
// Owns: that only an image that is available, and is of the digest it is said to be, is promoted.
// Fails with InputError (not published), or with a sentence.
import {
  GetParameterCommand,
  ParameterNotFound,
  PutParameterCommand,
  type SSMClient,
} from '@aws-sdk/client-ssm'
import { join } from 'node:path'
import { InputError } from '../../input/problems.ts'
import { explained, type AwsClients } from './clients.ts'
import { eventually, PATIENCE, type Patience } from './patience.ts'
import { readPublished } from './published.ts'
import { availableImage } from './register.ts'
import { DIGEST_TAG } from './snapshot.ts'

export type PromoteOptions = {
  /** Holds published.json. */
  folder: string
  digest: string
  channel: string
  aws: AwsClients
  signal: AbortSignal
  patience?: Patience
}

export type Promotion = {
  parameter: string
  region: string
  /** The AMI before; null when the channel is new. */
  from: string | null
  /** The AMI now. */
  to: string
}

/** AWS has looked an image up within seconds. */
const WRITTEN_MS = 60_000

/** Points the channel at the image. */
export async function promote(o: PromoteOptions): Promise<Promotion> {
  const imageId = publishedIn(o)
  return explained(pointChannel({ patience: PATIENCE, ...o }, imageId))
}

/** @throws {InputError} when the image was not published to this region. */
function publishedIn({ folder, digest, aws: { region } }: PromoteOptions): string {
  const images = readPublished(folder, digest)?.images ?? []
  const image = images.find((candidate) => candidate.region === region)
  if (image) return image.imageId
  const found = images.length === 0 ? 'nothing' : images.map((other) => other.region).join(', ')
  const expected = `an image in ${region}; publish it: npx mailfleet image publish --region ${region}`
  throw new InputError(join(folder, 'published.json'), [{ key: 'images', found, expected }])
}

async function pointChannel(o: PromoteOptions & { patience: Patience }, imageId: string): Promise<Promotion> {
  const { aws, signal } = o
  const { Tags = [] } = await availableImage(aws.ec2, imageId, o)
  const digest = Tags.find(({ Key }) => Key === DIGEST_TAG)?.Value
  if (digest !== o.digest)
    throw new Error(`image ${imageId} is tagged with digest ${digest ?? 'none'}, not ${o.digest}`)
  const parameter = `/mailfleet/${o.channel}/image`
  const from = await valueOf(aws.ssm, parameter, signal)
  if (from !== imageId) {
    const request = { Name: parameter, Value: imageId, Type: 'String', DataType: 'aws:ec2:image' } as const
    await aws.ssm.send(new PutParameterCommand({ ...request, Overwrite: true }), { abortSignal: signal })
    // AWS looks the image up after it has answered, and drops the value if it finds none
    // (Systems Manager user guide, native parameter support for AMI ids).
    const written = async () => ((await valueOf(aws.ssm, parameter, signal)) === imageId ? true : null)
    const patience = { ...o.patience, settleMs: Math.min(o.patience.settleMs, WRITTEN_MS) }
    await eventually(`writing ${parameter}`, written, { patience, signal })
  }
  return { parameter, region: aws.region, from, to: imageId }
}

async function valueOf(ssm: SSMClient, Name: string, abortSignal: AbortSignal): Promise<string | null> {
  try {
    return (await ssm.send(new GetParameterCommand({ Name }), { abortSignal })).Parameter?.Value ?? null
  } catch (error) {
    if (error instanceof ParameterNotFound) return null
    throw error
  }
}
