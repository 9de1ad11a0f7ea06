// A placeholder for a queue whose spool cannot be opened yet; once it can, every call goes to the real queue.
// Until then it refuses new mail with 4xx and leases nothing. So a full or read-only disk at boot does not
// end the process. Fails only when opening fails with another error, such as InputError.
import { DISK_FULL } from './disk-full.ts'
import { QueueFullError, type Queue, type QueueProblem } from '../queue.ts'
import { SpoolUnusableError } from './spool.ts'

/** Pause between two tries; short compared to the minutes after which senders retry. */
const RETRY_MS = 1_000

/**
 * Opens a queue, now or as soon as its spool can be opened.
 * @param onError gets the first error, and each error that differs from the one before
 */
export async function openWhenSpoolUsable(
  open: () => Promise<Queue>,
  onError: (where: string, error: unknown) => void,
): Promise<Queue> {
  try {
    return await open()
  } catch (error) {
    if (!(error instanceof SpoolUnusableError)) throw error
    onError('open', error)
    return waitForSpool(open, error, onError)
  }
}

function waitForSpool(
  open: () => Promise<Queue>,
  first: SpoolUnusableError,
  onError: (where: string, error: unknown) => void,
): Queue {
  let reason: Error = first
  let queue: Queue | null = null
  let opening: Promise<void> | undefined
  const timer = setInterval(() => void (opening ??= retry()), RETRY_MS)

  async function retry(): Promise<void> {
    try {
      queue = await open()
      clearInterval(timer)
    } catch (error) {
      if (String(error) !== String(reason)) onError('open', error)
      if (error instanceof Error) reason = error
      opening = undefined
    }
  }

  const opened = (): Queue => {
    if (queue === null) throw reason
    return queue
  }
  const full = () => reason instanceof SpoolUnusableError && reason.full
  const problem = (): QueueProblem => ({
    reason: full() ? 'spool-full' : 'spool-unwritable',
    text: reason.message,
  })
  return {
    enqueue: async (entry, body) => {
      if (queue === null && full()) throw new QueueFullError(DISK_FULL, { cause: reason })
      return opened().enqueue(entry, body)
    },
    lease: async (max, leaseMs) => (queue === null ? [] : queue.lease(max, leaseMs)),
    body: (held) => opened().body(held),
    holds: (held) => opened().holds(held),
    extend: (held, leaseMs) => opened().extend(held, leaseMs),
    record: (held, destinations) => opened().record(held, destinations),
    settle: (held, settlement, dsn) => opened().settle(held, settlement, dsn),
    release: (held) => opened().release(held),
    stats: () => opened().stats(),
    statsMs: 250,
    waits: false,
    settled: (id) => opened().settled(id),
    failure: () => queue?.failure(),
    problem: () => (queue === null ? problem() : queue.problem()),
    close: async () => {
      clearInterval(timer)
      await opening
      await queue?.close()
    },
  }
}
