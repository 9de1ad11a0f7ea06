// What publishing retries, and how long it waits for AWS.
// Owns the limits, and the list of errors that the EBS direct APIs ask clients to retry. Fails with the last error.
import { backOffMs, waitUntil, withRetry, type AfterFailure } from '../../../platform/retry.ts'

export type AwsLimits = {
  /** Attempts of one EBS request. */
  attempts: number
  /** The first pause; each further pause is twice as long, up to `maxPauseMs`. */
  firstPauseMs: number
  maxPauseMs: number
  /** How long AWS may report that a new snapshot does not exist. */
  appearMs: number
  /** Between two looks at a state that changes by itself. */
  pollMs: number
  /** How long such a state may take. */
  settleMs: number
  /** How long a snapshot that takes no more blocks may stay pending. */
  sealedMs: number
}

export const AWS_LIMITS: AwsLimits = {
  // 0.25 + 0.5 + 1 + 2 + 4 + 8 × 5 = 48 s for one block: a burst above the account's rate passes in that time.
  attempts: 11,
  firstPauseMs: 250,
  maxPauseMs: 8000,
  // Observed: AWS reports a new snapshot as missing for about a minute. This is more than twice that.
  appearMs: 150_000,
  pollMs: 5000,
  // AWS completes a snapshot of this size in one to three minutes, and makes an image available within seconds.
  settleMs: 30 * 60_000,
  sealedMs: 5 * 60_000,
}

type AwsFailure = {
  name?: string
  code?: string
  message?: string
  /** Part of a ValidationException of EBS. */
  Reason?: string
  $metadata?: { httpStatusCode?: number; clockSkewCorrected?: boolean }
}

export type EbsRetryOptions = {
  limits: AwsLimits
  /** When the snapshot of this request was started, completed or found; undefined when it must exist. */
  snapshotSinceMs?: number | undefined
  signal?: AbortSignal | undefined
}

/** Sends an EBS request until it succeeds, fails with a lasting error, or its attempts are used up. */
export function retryEbsRequest<T>(request: () => Promise<T>, o: EbsRetryOptions): Promise<T> {
  const { attempts, firstPauseMs, maxPauseMs, appearMs } = o.limits
  // Many blocks fail at the same moment: half of each pause is random, so that they do not return together.
  const jitter = 0.5
  const afterFailure = (error: unknown): AfterFailure => {
    if (isMissing(error) && Date.now() - (o.snapshotSinceMs ?? 0) < appearMs) {
      const minPauseMs = backOffMs({ firstPauseMs: maxPauseMs, maxPauseMs, jitter }, 1)
      return { minPauseMs, counts: false }
    }
    return isTransient(error) ? 'retry' : 'fail'
  }
  const backOff = { attempts, firstPauseMs, maxPauseMs, jitter }
  return withRetry(request, {
    backOff,
    afterFailure,
    ...(o.signal === undefined ? {} : { signal: o.signal }),
  })
}

/** Polls until `look` finds something. @throws {Error} that names `what` when it takes too long */
export function waitUntilSettled<T>(
  what: string,
  look: () => Promise<T | null>,
  { limits, signal }: { limits: AwsLimits; signal: AbortSignal },
): Promise<T> {
  const { pollMs, settleMs } = limits
  const timedOut = () =>
    new Error(`${what} took longer than ${settleMs / 60_000} minutes; run this again to go on`)
  return waitUntil(look, { everyMs: pollMs, timeoutMs: settleMs, timedOut, signal })
}

/** AWS reports this for a snapshot that was deleted, and for one that is too new. */
export function isMissing(error: unknown): boolean {
  return (error as AwsFailure).name === 'ResourceNotFoundException'
}

/**
 * The errors that AWS says to retry (EBS user guide, "Error retries for EBS direct APIs"), the errors of the network,
 * and a first request with a wrong clock: the SDK has corrected the clock from the response.
 */
function isTransient(error: unknown): boolean {
  const { name = '', code = '', $metadata } = error as AwsFailure
  if (/^(ThrottlingException|RequestThrottled?Exception|ConcurrentLimitExceededException)$/.test(name))
    return true
  if (/^(TimeoutError|ECONNRESET|EPIPE|ETIMEDOUT|EAI_AGAIN)$/.test(code || name)) return true
  if (isSlowOrConflicting(error as AwsFailure) || $metadata?.clockSkewCorrected) return true
  return ($metadata?.httpStatusCode ?? 0) >= 500
}

/**
 * A block that did not arrive in AWS's time, as on a slow line (nanovms/ops#1268), or that met another write of itself.
 * AWS reports both as validation errors; no other validation error is transient.
 */
function isSlowOrConflicting({ name, message = '', Reason = '' }: AwsFailure): boolean {
  if (name !== 'ValidationException') return false
  return (
    message.includes('Failed to read block data') ||
    /^(WRITE_REQUEST_TIMEOUT|CONFLICTING_BLOCK_UPDATE)$/.test(Reason)
  )
}
