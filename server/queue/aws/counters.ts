// Counts what the queue holds, from SQS's own counts. Owns: QueueStats on AWS, how often to ask for it, and the count of
// entries for the limit. Fails with the SDK's error. The limit is then not applied: without SQS, an enqueue fails anyway.
import type { QueueStats } from '../entry.ts'
import type { SqsCalls } from './sqs.ts'

/**
 * How long an entry of an unknown version counts after an instance received it. Some instance receives it every 30 s.
 */
const UNKNOWN_MS = 60_000

export type QueueCounters = ReturnType<typeof createQueueCounters>

type CountersOptions = {
  sqs: SqsCalls
  config: { readyUrl: string; deferredUrl: string; statsMs: number }
  monotonic: () => number
}

export function createQueueCounters({ sqs, config, monotonic }: CountersOptions) {
  /** When an entry of an unknown version was last received, by the id of its first message. */
  const unknown = new Map<string, number>()
  let asked: { atMs: number; counted: Promise<QueueStats> } | undefined
  let addedSince = 0

  function unknownNow(): number {
    for (const [id, metMs] of unknown) if (metMs <= monotonic() - UNKNOWN_MS) unknown.delete(id)
    return unknown.size
  }

  async function count(): Promise<QueueStats> {
    const [due, later] = await Promise.all([sqs.counts(config.readyUrl), sqs.counts(config.deferredUrl)])
    const unknownVersion = unknownNow()
    // A visible message in `deferred` waits for the mover and is not due (sender.ts).
    const ready = due.visible
    const inFlight = due.notVisible
    // A delayed message in `ready` is due within 15 minutes, or has an unknown version.
    const waiting = Math.max(0, due.delayed - unknownVersion)
    const deferred = later.visible + later.delayed + later.notVisible + waiting
    const entries = ready + inFlight + deferred + unknownVersion
    return { ready, inFlight, deferred, oldestReadyMs: null, unknownVersion, entries, bytes: null }
  }

  function stats(): Promise<QueueStats> {
    const nowMs = monotonic()
    if (asked === undefined || nowMs - asked.atMs >= config.statsMs) {
      asked = { atMs: nowMs, counted: count() }
      addedSince = 0
    }
    return asked.counted
  }

  return {
    /** At most `statsMs` old. An error is kept as long. */
    stats,
    /** All entries, including those enqueued here since the last count; 0 if SQS cannot count. */
    entries: (): Promise<number> =>
      stats().then(
        ({ entries }) => entries + addedSince,
        () => 0,
      ),
    countEnqueued: () => {
      addedSince++
    },
    sawUnknownVersion: (id: string) => {
      unknown.set(id, monotonic())
    },
  }
}
