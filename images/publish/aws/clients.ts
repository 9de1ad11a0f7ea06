// The AWS clients of publishing. Each request is retried, and its error explained, in one place.
// Owns the check for region and credentials before any work starts.
// Fails with InputError when they are missing or expired, else with one sentence about AWS's refusal.
import { EBSClient, type GetSnapshotBlockCommandOutput } from '@aws-sdk/client-ebs'
import { EC2Client } from '@aws-sdk/client-ec2'
import { SSMClient } from '@aws-sdk/client-ssm'
import { InputError } from '../../../input/problems.ts'
import { checkRegionOfEnvironment } from './region-name.ts'
import { retryEbsRequest, type AwsLimits } from './retry.ts'

export type AwsConfig = {
  region?: string
  endpoint?: string
  credentials?: { accessKeyId: string; secretAccessKey: string }
}

export type AwsClients = { region: string; ebs: EBSClient; ec2: EC2Client; ssm: SSMClient }

/** A block takes well under a second; a connection that is silent for this long is dead. */
const REQUEST_TIMEOUT_MS = 60_000

/**
 * Connects to one region. The SDK finds what `config` leaves out: in the environment, a profile, or the instance.
 * @throws {InputError} if there is no region, or there are no credentials.
 */
export async function connectAws(
  config: AwsConfig = {},
  timeoutMs = REQUEST_TIMEOUT_MS,
): Promise<AwsClients> {
  if (config.region === undefined) checkRegionOfEnvironment(process.env)
  const requestHandler = {
    requestTimeout: timeoutMs,
    throwOnRequestTimeout: true,
    // `requestTimeout` ends with the response's headers; this one covers a connection that dies in a body.
    socketTimeout: timeoutMs,
  }
  const ec2 = new EC2Client({ ...config, requestHandler })
  const region = await ec2.config.region().catch((cause: unknown) => {
    const expected = 'a region such as eu-west-1; or --region, or a profile (AWS_PROFILE) that names one'
    throw new InputError('the environment', [{ key: 'AWS_REGION', found: 'nothing', expected }], { cause })
  })
  await ec2.config.credentials().catch((cause: unknown) => {
    throw badCredentials(noneBecause(cause), cause)
  })
  // `clientsOfRun` retries requests to EBS, since it also waits for a new snapshot to appear.
  const ebs = new EBSClient({ ...config, region, requestHandler, maxAttempts: 1 })
  return { region, ec2, ebs, ssm: new SSMClient({ ...config, region, requestHandler }) }
}

export type AwsRunOptions = { limits: AwsLimits; signal: AbortSignal }

/** Options of one EBS request in a run; `snapshotSinceMs` as in {@link EbsRetryOptions}. */
export type EbsRequestOptions = { abortSignal?: AbortSignal; snapshotSinceMs?: number }

/**
 * The clients for one run of a command. Each `send` ends by the run's signal, unless it has an `abortSignal` of its own.
 * EBS requests are retried. An error says in one sentence what AWS's refusal means.
 */
export function clientsOfRun({ region, ec2, ebs, ssm }: AwsClients, run: AwsRunOptions): AwsClients {
  const once = (request: () => Promise<unknown>) => request()
  const retried = (request: () => Promise<unknown>, { snapshotSinceMs, abortSignal }: EbsRequestOptions) =>
    retryEbsRequest(async () => receiveBlock(await request()), {
      limits: run.limits,
      snapshotSinceMs,
      signal: abortSignal,
    })
  return {
    region,
    ec2: wrapSend(ec2, run, once),
    ebs: wrapSend(ebs, run, retried),
    ssm: wrapSend(ssm, run, once),
  }
}

/** A client whose `send` goes through `around`. It inherits the rest, so that the SDK's paginators accept it. */
function wrapSend<Client extends AwsClients['ec2' | 'ebs' | 'ssm']>(
  client: Client,
  run: AwsRunOptions,
  around: (request: () => Promise<unknown>, options: EbsRequestOptions) => Promise<unknown>,
): Client {
  const send = client.send.bind(client) as (command: unknown, options: object) => Promise<unknown>
  const wrapped = async (command: unknown, o: EbsRequestOptions = {}) => {
    const options = { ...o, abortSignal: o.abortSignal ?? run.signal }
    try {
      return await around(() => send(command, options), options)
    } catch (error) {
      throw explainedError(error)
    }
  }
  return Object.create(client, { send: { value: wrapped } }) as Client
}

/** Receives the bytes of a block within the attempt, so that a connection that dies in the middle is retried. */
async function receiveBlock(output: unknown): Promise<unknown> {
  const { BlockData } = output as GetSnapshotBlockCommandOutput
  if (BlockData === undefined) return output
  const bytes = await BlockData.transformToByteArray()
  BlockData.transformToByteArray = () => Promise.resolve(bytes)
  return output
}

/** Runs `work` and says in one sentence what it means when AWS refuses. */
export async function explained<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw explainedError(error)
  }
}

// Names of errors: "Common errors" and "Error codes for the Amazon EC2 API", and those of EBS and SSM.
const EXPIRED = /^(ExpiredToken(Exception)?|RequestExpired|TokenProviderError)$/
const UNKNOWN =
  /^(AuthFailure|InvalidClientTokenId|UnrecognizedClientException|(InvalidSignature|SignatureDoesNotMatch)(Exception)?)$/
const DENIED = /^(UnauthorizedOperation|AccessDenied(Exception)?|OptInRequired)$/
const UNREACHABLE = /^(ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH)$/

function explainedError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof InputError) return error
  const { name, message } = error
  const code = (error as NodeJS.ErrnoException).code ?? ''
  if (name === 'CredentialsProviderError') return badCredentials(noneBecause(error), error)
  if (EXPIRED.test(name)) return badCredentials('a token that has expired', error)
  if (UNKNOWN.test(name)) return badCredentials(`what AWS refuses (${name})`, error)
  if (DENIED.test(name)) {
    const advice = 'give them that permission, or use credentials that have it'
    return new Error(`AWS does not allow this with these credentials (${message}): ${advice}.`, {
      cause: error,
    })
  }
  if (UNREACHABLE.test(code)) return new Error(`AWS cannot be reached (${message}).`, { cause: error })
  return error
}

/** The SDK's message says more when a profile names a source that fails. */
function noneBecause(cause: unknown): string {
  const { message = '' } = cause as Error
  return /^Could not load credentials from any providers/.test(message) ? 'none' : `none (${message})`
}

function badCredentials(found: string, cause: unknown): InputError {
  const expected =
    'credentials of AWS: a profile (AWS_PROFILE, after `aws sso login`), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'
  return new InputError('the environment', [{ key: 'AWS credentials', found, expected }], { cause })
}
