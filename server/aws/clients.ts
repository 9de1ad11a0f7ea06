// The clients of AWS that an instance uses. Owns: where they send to, how long they wait, how often they try.
// The SDK is loaded when the first client of its kind is asked for: an instance that uses none does not pay for it.
// Credentials come from the SDK's own chain, on an instance from its metadata. A call fails with the SDK's error within
// maxAttempts times the time-outs, and the pauses between the attempts (the SDK's: 20 s each at most).
import type { Config } from '../config/schema.ts'

export type AwsSettings = Config['aws']

export type AwsClientOptions = {
  /** Seconds that the service may take before it answers, by what it was asked: a long poll. Default 0. */
  waitSeconds?: number
  /** Seconds that the service may take besides. Default 10. */
  answerSeconds?: number
  /** Seconds that a call may take to send and to be answered, as long as something moves. Default: the two above. */
  callSeconds?: number
  /** Times a call is tried in all. Default 3, the SDK's own. */
  maxAttempts?: number
}

/** A SYN is repeated after 1 s: two of them may be lost. */
const CONNECT_MS = 3_000

/** For the head of an answer, and between two pieces of it. The services answer within a second or have a bad day. */
const ANSWER_SECONDS = 10

/** DynamoDB is asked while leases run: three tries have to fit into the half minute that one lasts. */
const DYNAMO_ANSWER_SECONDS = 5

export async function sqsClient(aws: AwsSettings, options: AwsClientOptions = {}) {
  const { SQSClient } = await import('@aws-sdk/client-sqs')
  return new SQSClient(common(aws, aws.endpoints.sqs, options))
}

/** With an endpoint of its own, the bucket is part of the path: its name is in no DNS. */
export async function s3Client(aws: AwsSettings, options: AwsClientOptions = {}) {
  const { S3Client } = await import('@aws-sdk/client-s3')
  const { s3 } = aws.endpoints
  return new S3Client({ ...common(aws, s3, options), forcePathStyle: s3 !== undefined })
}

export async function dynamoClient(aws: AwsSettings, options: AwsClientOptions = {}) {
  const { DynamoDBClient } = await import('@aws-sdk/client-dynamodb')
  const withTimeout = { answerSeconds: DYNAMO_ANSWER_SECONDS, ...options }
  return new DynamoDBClient(common(aws, aws.endpoints.dynamodb, withTimeout))
}

export async function ssmClient(aws: AwsSettings, options: AwsClientOptions = {}) {
  const { SSMClient } = await import('@aws-sdk/client-ssm')
  return new SSMClient(common(aws, aws.endpoints.ssm, options))
}

export async function autoScalingClient(aws: AwsSettings, options: AwsClientOptions = {}) {
  const { AutoScalingClient } = await import('@aws-sdk/client-auto-scaling')
  return new AutoScalingClient(common(aws, aws.endpoints.autoscaling, options))
}

function common({ region }: AwsSettings, endpoint: string | undefined, options: AwsClientOptions) {
  const { waitSeconds = 0, answerSeconds = ANSWER_SECONDS, maxAttempts = 3 } = options
  const silenceMs = 1_000 * (answerSeconds + waitSeconds)
  return {
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    maxAttempts,
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      requestTimeout: options.callSeconds === undefined ? silenceMs : 1_000 * options.callSeconds,
      // Without it a late answer is a warning on the console.
      throwOnRequestTimeout: true,
      socketTimeout: silenceMs,
    },
  }
}
