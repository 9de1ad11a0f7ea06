// Works on one leased entry: the attempt, its log lines, and the reschedule after an exception. Owns:
// catching every error before it reaches the forwarder. When the queue's disk fails, it retries the write: a
// lost result would send the message twice.
import { withRetry } from '../../platform/retry.ts'
import type { Metrics } from '../metrics.ts'
import { errorFields, type Log } from '../log.ts'
import type { Lease } from '../queue/entry.ts'
import type { Queue } from '../queue/queue.ts'
import { attempt, reschedule, type AttemptReport, type AttemptContext } from './attempt.ts'
import type { LeaseKeeper } from './lease-keeper.ts'

export type DeliverLeaseOptions = {
  queue: Pick<Queue, 'body' | 'record' | 'settle'>
  context: Omit<AttemptContext, 'queue' | 'hold'>
  metrics: Metrics
  log: Log
}

/** Pauses between tries to store a result: 3.75 s in all, a third of the time between lease extensions. */
const STORAGE_BACK_OFF = { attempts: 5, firstPauseMs: 250, maxPauseMs: 2_000, jitter: 0 }

/**
 * Attempts `lease`'s entry once. A canary is removed instead: reaching the forwarder was its purpose.
 * Never rejects. @returns whether the queue stored the settlement
 */
export async function deliverLease(
  lease: Lease,
  hold: LeaseKeeper,
  options: DeliverLeaseOptions,
): Promise<boolean> {
  const { queue, context, metrics, log } = options
  const { id, attempts, canary } = lease.entry
  try {
    if (canary === true) return await withStorageRetry(options).settle(lease, { kind: 'remove' })
    const attempted = await attempt(lease, { ...context, hold, queue: withStorageRetry(options) })
    report(lease, attempted, options)
    if (!attempted.settled) hold.lose()
    return attempted.settled
  } catch (error) {
    metrics.errors.inc({ where: 'attempt' })
    log('attempt-failed', { id, attempts, ...errorFields(error) })
    try {
      await reschedule(lease, { ...context, queue })
    } catch (unstored) {
      // The lease will expire and make the entry due again. That is too early, but nothing is lost.
      log('reschedule-failed', { id, ...errorFields(unstored) })
    }
    return false
  }
}

function withStorageRetry({ queue, metrics, log }: DeliverLeaseOptions): AttemptContext['queue'] {
  const retry = <T>(store: () => Promise<T>): Promise<T> =>
    withRetry(store, {
      backOff: STORAGE_BACK_OFF,
      afterFailure: (error, failures) => {
        if (failures === STORAGE_BACK_OFF.attempts) return 'fail'
        metrics.errors.inc({ where: 'settle' })
        log('settle-failed', errorFields(error))
        return 'retry'
      },
    })
  return {
    body: (lease) => queue.body(lease),
    record: (lease, destinations) => retry(() => queue.record(lease, destinations)),
    settle: (lease, result, dsn) => retry(() => queue.settle(lease, result, dsn)),
  }
}

function report(
  { entry }: Lease,
  attempted: AttemptReport,
  { context, metrics, log }: DeliverLeaseOptions,
): void {
  const { results, nextMs, dsn } = attempted
  const delaySeconds = (context.now() - entry.acceptedMs) / 1_000
  for (const { destination, result } of results) {
    const { kind, ...details } = result
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
