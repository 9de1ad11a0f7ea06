// Many requests, some at once. Owns: how many are under way, and the end of the rest when one fails.

/** 16 × 512 KiB are 8 MiB of memory, and at 60 ms a block 130 MiB/s: more than most lines, less than AWS's limit. */
const UNDER_WAY = 16

/**
 * Does `work` for every item, in order of their begin.
 * @throws the first error; what is under way then is told to stop by its signal, and waited for
 */
export async function inParallel<T>(
  items: Iterable<T>,
  outer: AbortSignal,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const failed = new AbortController()
  const signal = AbortSignal.any([outer, failed.signal])
  const waiting = Iterator.from(items)
  const worker = async () => {
    for (const item of waiting) {
      signal.throwIfAborted()
      await work(item, signal)
    }
  }
  const workers = Array.from({ length: UNDER_WAY }, () =>
    worker().catch((error: unknown) => failed.abort(error)),
  )
  await Promise.all(workers)
  outer.throwIfAborted()
  failed.signal.throwIfAborted()
}
