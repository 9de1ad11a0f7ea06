// The forwarder: takes due entries off the shared queue and has them delivered, a bounded number at a time.
// Owns: slots, polling, keeping leases alive while work goes on, and stopping. Leases no more than it has slots for,
// so that work spreads over instances. An attempt that throws is counted and rescheduled; the loop never ends by it.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Metrics } from '../fleet/metrics.ts'
import { errorFields, type Log } from '../log.ts'
import type { EmbeddedQueue } from '../queue/embedded.ts'
import type { Lease } from '../queue/entry.ts'
import { attempt, reschedule, type Attempted, type AttemptContext } from './attempt.ts'

export type Forwarder = {
  /** There is new work: look at once. */
  kick: () => void
  /** Takes no more work and resolves when what is in progress has ended, at the latest after `timeoutMs`. */
  stop: (timeoutMs: number) => Promise<void>
}

export type ForwarderOptions = {
  queue: EmbeddedQueue
  context: AttemptContext
  concurrency: number
  leaseMs: number
  pollMs: number
  metrics: Metrics
  log: Log
}

/** Pause after the queue would not answer: long enough not to fill the log, short beside any retry. */
const QUEUE_TROUBLE_MS = 1_000

/** How often what an attempt found out is offered to a queue that does not take it. */
const SETTLE_TRIES_MS = [250, 500, 1_000, 2_000]

export function startForwarder(options: ForwarderOptions): Forwarder {
  const { queue, concurrency, leaseMs, pollMs, metrics, log } = options
  const working = new Map<Lease, Promise<void>>()
  let stopping = false
  let wake = () => {}
  let kicked = false

  /** Resolves after `ms`, or sooner when kicked or a slot has come free. */
  async function pause(ms: number): Promise<void> {
    if (kicked) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  function kick(): void {
    kicked = true
    wake()
  }

  async function loop(): Promise<void> {
    while (!stopping) {
      const free = concurrency - working.size
      kicked = false
      if (free === 0) {
        await pause(pollMs)
        continue
      }
      const leases = await take(free)
      if (leases === null) await sleep(QUEUE_TROUBLE_MS)
      else {
        for (const lease of leases) begin(lease)
        // A full batch: there is more, and the next slot to come free wakes us. Else whoever queues something does.
        if (leases.length < free) await pause(pollMs)
      }
    }
  }

  async function take(max: number): Promise<Lease[] | null> {
    try {
      return await queue.lease(max, leaseMs)
    } catch (error) {
      metrics.errors.inc({ where: 'lease' })
      log('lease-failed', errorFields(error))
      return null
    }
  }

  function begin(lease: Lease): void {
    metrics.deliveriesInProgress.inc()
    const extending = setInterval(() => void extend(lease, options), leaseMs / 3)
    const work = workOn(lease, options).finally(() => {
      clearInterval(extending)
      working.delete(lease)
      metrics.deliveriesInProgress.dec()
      kick()
    })
    working.set(lease, work)
  }

  const ended = loop()
  return {
    kick,
    stop: async (timeoutMs) => {
      stopping = true
      wake()
      const bound = sleep(timeoutMs, 'bound' as const, { ref: false })
      const all = ended.then(() => Promise.all(working.values())).then(() => 'ended' as const)
      if ((await Promise.race([all, bound])) === 'ended') return
      // Whoever is cut may have handed over its message already: the lease runs out before anyone tries again.
      log('deliveries-cut', { count: working.size })
    },
  }
}

async function extend(lease: Lease, { queue, leaseMs, metrics, log }: ForwarderOptions): Promise<void> {
  try {
    if (!(await queue.extend(lease, leaseMs))) log('lease-lost', { id: lease.entry.id })
  } catch (error) {
    metrics.errors.inc({ where: 'extend' })
    log('extend-failed', { id: lease.entry.id, ...errorFields(error) })
  }
}

/** Never rejects. */
async function workOn(lease: Lease, options: ForwarderOptions): Promise<void> {
  const { queue, context, metrics, log } = options
  const { entry } = lease
  try {
    const attempted = await attempt(lease, { ...context, queue: persistent(queue, options) })
    report(lease, attempted, options)
  } catch (error) {
    metrics.errors.inc({ where: 'attempt' })
    log('attempt-failed', { id: entry.id, attempts: entry.attempts, ...errorFields(error) })
    try {
      await reschedule(lease, context)
    } catch (unstored) {
      // The lease runs out and the entry is due again: slower than a reschedule, but nothing is lost.
      log('reschedule-failed', { id: entry.id, ...errorFields(unstored) })
    }
  }
}

/** The queue, with what hosts have acknowledged offered again when the disk would not take it: else it is sent twice. */
function persistent(
  queue: EmbeddedQueue,
  { metrics, log }: Pick<ForwarderOptions, 'metrics' | 'log'>,
): AttemptContext['queue'] {
  async function insist<T>(store: () => Promise<T>): Promise<T> {
    for (const waitMs of SETTLE_TRIES_MS) {
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

function report({ entry }: Lease, attempted: Attempted, { context, metrics, log }: ForwarderOptions): void {
  const { ended, settled, nextMs, dsn } = attempted
  for (const { destination, outcome } of ended) {
    metrics.deliveries.inc({ result: outcome.kind })
    const delaySeconds = (context.now() - entry.acceptedMs) / 1_000
    if (outcome.kind === 'delivered') metrics.forwardDelay.observe(delaySeconds)
    const { address, originalRecipient } = destination
    log(outcome.kind, {
      id: entry.id,
      recipient: originalRecipient,
      destination: address,
      ...outcome,
      attempts: entry.attempts + 1,
      delaySeconds,
      ...(nextMs === null ? {} : { until: new Date(nextMs).toISOString() }),
    })
  }
  if (dsn !== 'none') log('dsn', { id: entry.id, dsn, reversePath: entry.reversePath })
  if (!settled) log('lease-lost', { id: entry.id })
}
