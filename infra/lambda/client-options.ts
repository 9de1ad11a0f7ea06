// Options of every AWS client in a Lambda function: two attempts, each bounded in time.
import type { SQSClient } from '@aws-sdk/client-sqs'

/** Where AWS is, and the credentials. The SDK reads missing ones from the environment. */
export type AwsAccess = Pick<
  ConstructorParameters<typeof SQSClient>[0] & object,
  'endpoint' | 'region' | 'credentials'
>

/** @param requestMs how long one attempt may take */
export function clientOptions(access: AwsAccess, requestMs: number) {
  return {
    maxAttempts: 2,
    requestHandler: { connectionTimeout: requestMs, requestTimeout: requestMs, throwOnRequestTimeout: true },
    ...access,
  }
}

/** An SDK error in one line. The name tells a timeout from a refusal; the message may quote a whole response. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return text.slice(0, 300)
}
