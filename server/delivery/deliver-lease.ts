// Work on one leased entry, whatever happens: the attempt, its report, and the reschedule when it threw.
// Owns: that nothing thrown in here reaches the forwarder, and that what hosts have acknowledged is offered to the
// queue again when its disk would not take it, since otherwise it would be sent twice.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Metrics } from '../metrics.ts'
import { errorFields, type Log } from '../log.ts'
import type { Lease } from '../queue/entry.ts'
import type { Queue } from '../queue/queue.ts'
import { attempt, reschedule, type Attempted, type AttemptContext } from './attempt.ts'
import type { HoldKeeper } from './lease-keeper.ts'

export type WorkOptions = {
  queue: Pick<Queue, 'body' | 'record' | 'settle'>
  context: Omit<AttemptContext, 'queue' | 'hold'>
  metrics: Metrics
  log: Log
}

/** Waits between offers to a queue that does not take what an attempt found out: 3.75 s, a third of an extension. */
const INSIST_MS = [250, 500, 1_000, 2_000]

/**
 * Attempts `lease`'s entry once. A canary is taken off the queue instead: that it got here is what it was sent for.
 * Never rejects. @returns whether the queue knows the outcome.
 */
export async function workOn(lease: Lease, hold: HoldKeeper, options: WorkOptions): Promise<boolean> {
  const { queue, context, metrics, log } = options
  const { id, attempts, canary } = lease.entry
  try {
    if (canary === true) return await insistent(options).settle(lease, { kind: 'remove' })
    const attempted = await attempt(lease, { ...context, hold, queue: insistent(options) })
    report(lease, attempted, options)
    if (!attempted.settled) hold.lose()
    return attempted.settled
  } catch (error) {
    metrics.errors.inc({ where: 'attempt' })
    log('attempt-failed', { id, attempts, ...errorFields(error) })
    try {
      await reschedule(lease, { ...context, queue })
    } catch (unstored) {
      // The lease runs out and the entry is due again: sooner than it should be, but nothing is lost.
      log('reschedule-failed', { id, ...errorFields(unstored) })
    }
    return false
  }
}

function insistent({ queue, metrics, log }: WorkOptions): AttemptContext['queue'] {
  async function insist<T>(store: () => Promise<T>): Promise<T> {
    for (const waitMs of INSIST_MS) {
      try {
        return await store()
      } catch (error) {
        metrics.errors.inc({ where: 'settle' })
        log('settle-failed', errorFields(error))
        await sleep(waitMs)
      }
    }
    return store()
  }
  return {
    body: (lease) => queue.body(lease),
    record: (lease, destinations) => insist(() => queue.record(lease, destinations)),
    settle: (lease, outcome, dsn) => insist(() => queue.settle(lease, outcome, dsn)),
  }
}

function report({ entry }: Lease, attempted: Attempted, { context, metrics, log }: WorkOptions): void {
  const { ended, nextMs, dsn } = attempted
  const delaySeconds = (context.now() - entry.acceptedMs) / 1_000
  for (const { destination, outcome } of ended) {
    const { kind, ...details } = outcome
    metrics.deliveries.inc({ result: kind })
    if (kind === 'delivered') metrics.forwardDelay.observe(delaySeconds)
    log(kind, {
      id: entry.id,
      recipient: destination.originalRecipient,
      destination: destination.address,
      ...details,
      attempts: entry.attempts + 1,
      delaySeconds,
      ...(nextMs === null ? {} : { until: new Date(nextMs).toISOString() }),
    })
  }
  if (dsn !== 'none') log('dsn', { id: entry.id, dsn, reversePath: entry.reversePath })
}
