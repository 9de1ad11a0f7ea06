// Creates the AWS clients of an instance, and loads the SDK on the first use. Owns: endpoints, timeouts, attempts.
// A call fails with the SDK's error, at the latest after maxAttempts timeouts and the SDK's pauses (at most 20 s each).
// Credentials come from the SDK's default chain; on an instance that is its metadata.
import type { Config } from '../config/schema.ts'

export type AwsSettings = Config['aws']

export type AwsClientOptions = {
  /** Duration of a long poll, added to `answerSeconds`. Default 0. */
  waitSeconds?: number
  /** Seconds until the service must answer. Default 10. */
  answerSeconds?: number
  /** Seconds for the whole call while bytes still flow. Default: the sum of the two above. */
  callSeconds?: number
  /** Attempts in all. Default 3, as the SDK's. */
  maxAttempts?: number
}

/** The kernel repeats a SYN after 1 s, so that two of them may be lost. */
const CONNECT_MS = 3_000

/** For the head of an answer, and between two of its pieces. A healthy service answers within a second. */
const ANSWER_SECONDS = 10

/** DynamoDB is called while a lease of 30 s runs. Three attempts must fit into it. */
const DYNAMO_ANSWER_SECONDS = 5

export async function sqsClient(aws: AwsSettings, options: AwsClientOptions = {}) {
  const { SQSClient } = await import('@aws-sdk/client-sqs')
  return new SQSClient(common(aws, aws.endpoints.sqs, options))
}

/** With a configured endpoint the bucket is part of the path, since DNS does not have its name. */
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
      // Without this option the SDK only prints a warning.
      throwOnRequestTimeout: true,
      socketTimeout: silenceMs,
    },
  }
}
