// What the queue holds, as far as SQS can say. Owns: QueueStats on AWS, how often they are asked for, and the count of
// entries that the bound is held against. Fails with the SDK's error; the bound then lets everything pass, since a
// queue that cannot be asked takes nothing either.
import type { QueueStats } from '../entry.ts'
import type { SqsCalls } from './sqs.ts'

/** An entry of an unknown version counts for so long after it was met. It is met every 30 s, by some instance. */
const UNKNOWN_MS = 60_000

export type QueueCounters = ReturnType<typeof createQueueCounters>

type CountersOptions = {
  sqs: SqsCalls
  config: { readyUrl: string; deferredUrl: string; statsMs: number }
  monotonic: () => number
}

export function createQueueCounters({ sqs, config, monotonic }: CountersOptions) {
  /** When an entry of an unknown version was met last, by the id of the first message it was met in. */
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
    // What is visible in `deferred` is between two hops, not due (post.ts).
    const ready = due.visible
    const inFlight = due.notVisible
    // What is delayed in `ready` is due within 15 minutes, or is of an unknown version and aside.
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
    /** At most `statsMs` old, as is a failure to count. */
    stats,
    /** All entries, those added here since they were counted included; 0 if they cannot be counted. */
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
