// How long publishing waits for AWS, and what it tries again. Owns: the bounds, and the classification of errors that
// the EBS direct APIs say are worth another try. Fails with the last error when the tries are used up.
import { setTimeout as sleep } from 'node:timers/promises'

export type Patience = {
  /** Tries of one request. */
  attempts: number
  /** The first pause; each one after it is twice as long, up to `maxPauseMs`. */
  firstPauseMs: number
  maxPauseMs: number
  /** How long a snapshot may be said not to exist. */
  appearMs: number
  /** Between two looks at a state that changes by itself. */
  pollMs: number
  /** How long such a state may take. */
  settleMs: number
  /** How long a snapshot that takes no more blocks may go on being shown as pending. */
  sealedMs: number
}

export const PATIENCE: Patience = {
  // 0.25 + 0.5 + 1 + 2 + 4 + 8 × 5 = 48 s for one block: as long as a burst above the account's rate takes to pass.
  attempts: 11,
  firstPauseMs: 250,
  maxPauseMs: 8000,
  // Seen in the field: a new snapshot answers "does not exist" for about a minute. Twice that, and some.
  appearMs: 150_000,
  pollMs: 5000,
  // AWS takes one to three minutes to complete a snapshot of this size, and seconds to make an image available.
  settleMs: 30 * 60_000,
  sealedMs: 5 * 60_000,
}

type Failure = {
  name?: string
  code?: string
  message?: string
  /** Of a ValidationException of EBS. */
  Reason?: string
  $metadata?: { httpStatusCode?: number; clockSkewCorrected?: boolean }
}

/**
 * Sends a request until it succeeds, fails for good, or the patience ends.
 * @param o.bornMs when the snapshot that it is about was begun, completed or found: for a while after that AWS may say
 *   that it does not exist; undefined when it is about none
 */
export async function patiently<T>(
  request: () => Promise<T>,
  o: { patience: Patience; bornMs?: number; signal: AbortSignal },
): Promise<T> {
  const { patience, signal } = o
  for (let failed = 0; ;) {
    try {
      return await request()
    } catch (error) {
      signal.throwIfAborted()
      const appearing = isMissing(error) && Date.now() - (o.bornMs ?? 0) < patience.appearMs
      if (!appearing && (!isTransient(error) || ++failed >= patience.attempts)) throw error
      const pauseMs = appearing ? patience.maxPauseMs : patience.firstPauseMs * 2 ** (failed - 1)
      // Many blocks fail at the same moment: half of the pause is random, so that they do not return together.
      await sleep(Math.min(pauseMs, patience.maxPauseMs) * (0.5 + Math.random() / 2), undefined, { signal })
    }
  }
}

/** Looks every `pollMs` until `look` finds something. @throws {Error} saying `what` took too long. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | null>,
  { patience, signal }: { patience: Patience; signal: AbortSignal },
): Promise<T> {
  const startedMs = Date.now()
  for (;;) {
    const found = await look()
    if (found !== null) return found
    if (Date.now() - startedMs > patience.settleMs)
      throw new Error(
        `${what} took longer than ${patience.settleMs / 60_000} minutes; run this again to go on`,
      )
    await sleep(patience.pollMs, undefined, { signal })
  }
}

/** Said of a snapshot that is gone, and of one that is too new. */
export function isMissing(error: unknown): boolean {
  return (error as Failure).name === 'ResourceNotFoundException'
}

/**
 * What AWS says to retry (EBS user guide, "Error retries for EBS direct APIs"), what never reached it, and the first
 * request of a machine whose clock is wrong: the SDK has set its own right from the answer.
 */
function isTransient(error: unknown): boolean {
  const { name = '', code = '', $metadata } = error as Failure
  if (/^(ThrottlingException|RequestThrottled?Exception|ConcurrentLimitExceededException)$/.test(name))
    return true
  if (/^(TimeoutError|ECONNRESET|EPIPE|ETIMEDOUT|EAI_AGAIN)$/.test(code || name)) return true
  if (isSlowOrTwice(error as Failure) || $metadata?.clockSkewCorrected) return true
  return ($metadata?.httpStatusCode ?? 0) >= 500
}

/**
 * A block that did not arrive whole in AWS's time, which is what a slow line looks like (nanovms/ops#1268), or met
 * another write of itself: validation errors by name, and the only ones that pass.
 */
function isSlowOrTwice({ name, message = '', Reason = '' }: Failure): boolean {
  if (name !== 'ValidationException') return false
  return (
    message.includes('Failed to read block data') ||
    /^(WRITE_REQUEST_TIMEOUT|CONFLICTING_BLOCK_UPDATE)$/.test(Reason)
  )
}
