// Works through a list, a bounded number of items at a time. The first failure stops the rest.

export type ParallelOptions = {
  /** How many items may be worked on at once. */
  concurrency: number
  /** Aborted when the caller wants the work to end. */
  signal?: AbortSignal
}

/**
 * Calls `work` for every item, starting them in order.
 * After a failure no further item starts; the running ones see their signal abort, and are waited for.
 * @throws the first error, or the reason of the caller's signal
 */
export async function inParallel<T>(
  items: Iterable<T>,
  { concurrency, signal: outer }: ParallelOptions,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const failed = new AbortController()
  const signal = outer ? AbortSignal.any([outer, failed.signal]) : failed.signal
  const waiting = Iterator.from(items)
  const worker = async () => {
    for (const item of waiting) {
      signal.throwIfAborted()
      await work(item, signal)
    }
  }
  const workers = Array.from({ length: concurrency }, () =>
    worker().catch((error: unknown) => failed.abort(error)),
  )
  await Promise.all(workers)
  outer?.throwIfAborted()
  failed.signal.throwIfAborted()
}
