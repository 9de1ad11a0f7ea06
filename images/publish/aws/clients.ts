// The AWS clients that publishing uses, and what AWS's refusals mean for a person. Owns: finding region and credentials
// before anything is begun. Fails with InputError when one is missing or expired, else with one sentence.
import { EBSClient } from '@aws-sdk/client-ebs'
import { EC2Client } from '@aws-sdk/client-ec2'
import { SSMClient } from '@aws-sdk/client-ssm'
import { InputError } from '../../../input/problems.ts'
import { checkRegionOfEnvironment } from './region-name.ts'

export type AwsConfig = {
  region?: string
  endpoint?: string
  credentials?: { accessKeyId: string; secretAccessKey: string }
}

export type AwsClients = { region: string; ebs: EBSClient; ec2: EC2Client; ssm: SSMClient }

/** A block takes well under a second; a connection that says nothing for this long is dead. */
const REQUEST_TIMEOUT_MS = 60_000

/**
 * What the configuration leaves open comes from where the SDK finds it: environment, profile, instance.
 * @throws {InputError} if there is no region, or there are no credentials.
 */
export async function awsClients(
  config: AwsConfig = {},
  timeoutMs = REQUEST_TIMEOUT_MS,
): Promise<AwsClients> {
  if (config.region === undefined) checkRegionOfEnvironment(process.env)
  const requestHandler = {
    requestTimeout: timeoutMs,
    throwOnRequestTimeout: true,
    // The first ends with an answer's headers; a connection that dies in the middle of a block ends by this.
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
  // Publishing repeats requests to EBS itself, since it also has to wait for a new snapshot to appear.
  const ebs = new EBSClient({ ...config, region, requestHandler, maxAttempts: 1 })
  return { region, ec2, ebs, ssm: new SSMClient({ ...config, region, requestHandler }) }
}

/** Runs `work` and says in one sentence what it means when AWS refuses. */
export async function explained<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw meaning(error)
  }
}

// Names of errors: "Common errors" and "Error codes for the Amazon EC2 API", and those of EBS and SSM.
const EXPIRED = /^(ExpiredToken(Exception)?|RequestExpired|TokenProviderError)$/
const UNKNOWN =
  /^(AuthFailure|InvalidClientTokenId|UnrecognizedClientException|(InvalidSignature|SignatureDoesNotMatch)(Exception)?)$/
const DENIED = /^(UnauthorizedOperation|AccessDenied(Exception)?|OptInRequired)$/
const UNREACHABLE = /^(ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH)$/

function meaning(error: unknown): unknown {
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

/** The SDK says more than that there are none where a profile names a source that fails. */
function noneBecause(cause: unknown): string {
  const { message = '' } = cause as Error
  return /^Could not load credentials from any providers/.test(message) ? 'none' : `none (${message})`
}

function badCredentials(found: string, cause: unknown): InputError {
  const expected =
    'credentials of AWS: a profile (AWS_PROFILE, after `aws sso login`), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'
  return new InputError('the environment', [{ key: 'AWS credentials', found, expected }], { cause })
}
