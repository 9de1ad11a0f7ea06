// The instance's Prometheus metrics. The scaler and the dashboard read them by name.
// Owns: names, labels and help texts. Counting never fails and never waits.
import {
  ACCEPTED_METRIC,
  QUEUE_DEFERRED_METRIC,
  QUEUE_IN_FLIGHT_METRIC,
  QUEUE_OLDEST_READY_METRIC,
  QUEUE_READY_METRIC,
  REFUSED_FOR_FAULT_METRIC,
  REFUSED_FOR_LOAD_METRIC,
} from '../contract/server-metric-names.ts'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { QueueStats } from './queue/entry.ts'
import { QUEUE_PROBLEMS, type QueueProblem } from './queue/queue.ts'

/** Why a message was refused. Only the first three are demand: see smtp/refused-demand.ts. */
export type RefusalReason =
  // Another instance could have accepted the message.
  | 'sessions'
  | 'backlog'
  | 'memory'
  // The others, among them FAULTS: another instance would not help.
  | 'queue-full'
  | 'queue'
  | 'client-connections'
  | 'relay'
  | 'unknown-alias'
  | 'routes-unavailable'
  | 'loop'
  | 'size'
  | 'malformed'
  | 'recipients'
  | 'draining'
  | 'canary'
  | 'error'

/** Refusals for these reasons raise an alarm and prevent scale-in. They are no demand: more instances do not help. */
const FAULTS: ReadonlySet<RefusalReason> = new Set(['queue-full', 'queue', 'routes-unavailable', 'error'])

/** Whether `reason` is a fault of the service that more instances do not mend. */
export function isFault(reason: RefusalReason): boolean {
  return FAULTS.has(reason)
}

export type Metrics = ReturnType<typeof createMetrics>

/** Seconds from accepting to forwarding: fine steps for a healthy fleet, coarse ones for a retry storm. */
const FORWARD_DELAY_SECONDS = [
  0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400, 86_400,
]

/** A commit on a fast disk takes 1 ms. After 5 s the server answers 451. */
const COMMIT_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30]

/**
 * Creates the instance's metrics in a registry of their own.
 * @param queueStats called at each scrape. After null or a failure the last values stay; a failure counts as an error.
 */
export function createMetrics(queueStats: () => QueueStats | null | Promise<QueueStats | null>) {
  const registry = new Registry()
  const counters = createCounters([registry])
  const gauges = createGauges([registry])
  const setQueue = createQueueGauges([registry])
  const forwardDelay = new Histogram({
    name: 'mailfleet_forward_delay_seconds',
    help: 'Seconds from our 250 to the 250 of the destination, one a destination.',
    buckets: FORWARD_DELAY_SECONDS,
    registers: [registry],
  })
  const commits = createCommitHistograms([registry])
  collectDefaultMetrics({ register: registry })
  /** Callbacks that set gauges right before each scrape. */
  const beforeScrape: (() => void)[] = []

  /** The exposition text, with the shared queue's current figures. */
  async function scrape(): Promise<{ contentType: string; text: string }> {
    for (const update of beforeScrape) update()
    try {
      const stats = await queueStats()
      if (stats !== null) setQueue(stats)
    } catch {
      counters.errors.inc({ where: 'queue-stats' })
    }
    return { contentType: registry.contentType, text: await registry.metrics() }
  }

  return { ...counters, ...gauges, ...commits, forwardDelay, beforeScrape, scrape }
}

function createCounters(registers: Registry[]) {
  const counters = {
    accepted: new Counter({
      name: ACCEPTED_METRIC,
      help: 'Messages answered 250.',
      registers,
    }),
    refused: new Counter({
      name: 'mailfleet_refused_total',
      help: 'Messages, recipients or connections refused, by reason; each attempt counts.',
      labelNames: ['reason'] as const,
      registers,
    }),
    refusedDemand: new Counter({
      name: REFUSED_FOR_LOAD_METRIC,
      help: 'Refused messages that another instance could have accepted; each counts once a window. This is demand.',
      registers,
    }),
    refusedFaults: new Counter({
      name: REFUSED_FOR_FAULT_METRIC,
      help: 'Refusals because something is full or broken. They prevent scale-in.',
      registers,
    }),
    deliveries: new Counter({
      name: 'mailfleet_deliveries_total',
      help: 'Results of delivery attempts, one a destination.',
      labelNames: ['result'] as const,
      registers,
    }),
    slowCommits: new Counter({
      name: 'mailfleet_slow_commits_total',
      help: 'Messages answered 451 because their commit took too long.',
      registers,
    }),
    clockSteps: new Counter({
      name: 'mailfleet_clock_steps_total',
      help: 'Wall clock steps of a second or more, by direction.',
      labelNames: ['direction'] as const,
      registers,
    }),
    errors: new Counter({
      name: 'mailfleet_errors_total',
      help: 'Unexpected errors, by place. Each led to a 4xx reply or to a retry.',
      labelNames: ['where'] as const,
      registers,
    }),
    routesReloads: new Counter({
      name: 'mailfleet_routes_reloads_total',
      help: 'Route loads by result; after "broken" or "unavailable" the last good table stays in use.',
      labelNames: ['result'] as const,
      registers,
    }),
  }
  // Create these series at start: a rate over a counter that appears late misses its first event.
  for (const result of ['delivered', 'deferred', 'failed']) counters.deliveries.inc({ result }, 0)
  for (const reason of ['sessions', 'backlog', 'memory', 'queue-full'] as const)
    counters.refused.inc({ reason }, 0)
  for (const direction of ['back', 'forward']) counters.clockSteps.inc({ direction }, 0)
  return counters
}

function createGauges(registers: Registry[]) {
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers })
  return {
    smtpConnections: gauge('mailfleet_smtp_connections', 'Open SMTP connections.'),
    smtpTransactions: gauge(
      'mailfleet_smtp_transactions',
      'SMTP transactions between MAIL and the last reply.',
    ),
    deliveriesInProgress: gauge(
      'mailfleet_deliveries_in_progress',
      'Queue entries being delivered by this instance.',
    ),
    queueProblem: problemGauge(registers),
  }
}

/** @returns the function that sets the gauge. */
function problemGauge(registers: Registry[]): (problem: QueueProblem | null) => void {
  const gauge = new Gauge({
    name: 'mailfleet_queue_problem',
    help: '1 while the queue storage of this instance has the problem "reason", else 0.',
    labelNames: ['reason'] as const,
    registers,
  })
  const set = (problem: QueueProblem | null) => {
    for (const reason of QUEUE_PROBLEMS) gauge.set({ reason }, problem?.reason === reason ? 1 : 0)
  }
  set(null)
  return set
}

function createCommitHistograms(registers: Registry[]) {
  const histogram = (name: string, help: string) =>
    new Histogram({ name, help, buckets: COMMIT_SECONDS, registers })
  return {
    commitTime: histogram(
      'mailfleet_queue_commit_seconds',
      'Seconds of one transaction of the embedded queue, from the lock request to stable storage.',
    ),
    lockWait: histogram(
      'mailfleet_queue_lock_wait_seconds',
      'Seconds that a transaction of the embedded queue waited for the write lock that all processes share.',
    ),
  }
}

/** Creates the gauges of the shared queue. @returns the function that sets them. */
function createQueueGauges(registers: Registry[]): (stats: QueueStats) => void {
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers })
  const ready = gauge(QUEUE_READY_METRIC, 'Entries of the shared queue that are due and not leased.')
  const inFlight = gauge(QUEUE_IN_FLIGHT_METRIC, 'Entries of the shared queue that are leased.')
  const deferred = gauge(QUEUE_DEFERRED_METRIC, 'Entries of the shared queue that are due later.')
  const oldest = gauge(QUEUE_OLDEST_READY_METRIC, 'Seconds since the oldest ready entry became due.')
  const unknown = gauge(
    'mailfleet_queue_unknown_version',
    'Entries of a version that this release does not know.',
  )
  const bytes = gauge('mailfleet_queue_bytes', 'Bytes of message bodies in the shared queue.')
  return (stats) => {
    ready.set(stats.ready)
    inFlight.set(stats.inFlight)
    deferred.set(stats.deferred)
    if (stats.oldestReadyMs !== null) oldest.set(stats.oldestReadyMs / 1_000)
    unknown.set(stats.unknownVersion)
    if (stats.bytes !== null) bytes.set(stats.bytes)
  }
}
