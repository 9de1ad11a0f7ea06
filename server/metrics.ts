// What an instance tells the fleet about itself: Prometheus metrics, by the names the scaler and the dashboard read.
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

/** Why a message was refused. */
export type RefusalReason =
  // Another instance could have taken it: demand, see smtp/refused-demand.ts.
  | 'sessions'
  | 'backlog'
  | 'memory'
  // Something is full or broken, which no instance mends: see FAULTS.
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

/** Refusals for these reasons alarm and hold capacity. They are no demand: no instance helps. */
const FAULTS: ReadonlySet<RefusalReason> = new Set(['queue-full', 'queue', 'routes-unavailable', 'error'])

/** Whether `reason` is a fault of ours that no instance mends. */
export function isFault(reason: RefusalReason): boolean {
  return FAULTS.has(reason)
}

export type Metrics = ReturnType<typeof createMetrics>

/** Seconds from accepting to forwarding: 50 ms steps where a healthy fleet lives, minutes where a storm does. */
const FORWARD_DELAY_SECONDS = [
  0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400, 86_400,
]

/** A commit on a fast disk takes 1 ms; after 5 s senders are told to come back. */
const COMMIT_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30]

/**
 * Creates the instance's metrics in a registry of their own.
 * @param queueStats asked at each scrape; null leaves the last values, a failure counts an error as well.
 */
export function createMetrics(queueStats: () => QueueStats | null | Promise<QueueStats | null>) {
  const registry = new Registry()
  const counters = createCounters([registry])
  const gauges = createGauges([registry])
  const setQueue = createQueueGauges([registry])
  const forwardDelay = new Histogram({
    name: 'mailfleet_forward_delay_seconds',
    help: 'From the 250 given to the 250 got, one a destination.',
    buckets: FORWARD_DELAY_SECONDS,
    registers: [registry],
  })
  const commits = createCommitHistograms([registry])
  collectDefaultMetrics({ register: registry })
  /** Run before each scrape, for figures that are cheaper to count then than to keep. */
  const beforeScrape: (() => void)[] = []

  /** The exposition text, with the shared queue's figures as they are now. */
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
      help: 'Messages given a 250.',
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
      help: 'Messages refused that another instance could have taken; each counts once a window. This is demand.',
      registers,
    }),
    refusedFaults: new Counter({
      name: REFUSED_FOR_FAULT_METRIC,
      help: 'Refusals because something is full or broken. They hold the number of instances.',
      registers,
    }),
    deliveries: new Counter({
      name: 'mailfleet_deliveries_total',
      help: 'Outcomes of delivery attempts, one a destination.',
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
      help: 'Steps of the wall clock of a second or more, by direction.',
      labelNames: ['direction'] as const,
      registers,
    }),
    errors: new Counter({
      name: 'mailfleet_errors_total',
      help: 'Unexpected errors that were answered with a 4xx or a later attempt, by where they happened.',
      labelNames: ['where'] as const,
      registers,
    }),
    routesReloads: new Counter({
      name: 'mailfleet_routes_reloads_total',
      help: 'Loads of the routes; after "broken" or "unavailable" the last good table stays in use.',
      labelNames: ['result'] as const,
      registers,
    }),
  }
  // Series that exist from the start: a rate over a counter that appears late misses its first event.
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
      'SMTP transactions between MAIL and their last reply.',
    ),
    deliveriesInProgress: gauge(
      'mailfleet_deliveries_in_progress',
      'Queue entries being delivered by this instance.',
    ),
    queueProblem: problemGauge(registers),
  }
}

/** @returns what sets it */
function problemGauge(registers: Registry[]): (problem: QueueProblem | null) => void {
  const gauge = new Gauge({
    name: 'mailfleet_queue_problem',
    help: 'Whether the storage of this instance has the problem that "reason" names.',
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
      'One transaction of the embedded queue, from asking for the lock to stable storage.',
    ),
    lockWait: histogram(
      'mailfleet_queue_lock_wait_seconds',
      'How long a transaction of the embedded queue waited for the lock that all processes write under.',
    ),
  }
}

/** Gauges of the shared queue; returns what sets them. */
function createQueueGauges(registers: Registry[]): (stats: QueueStats) => void {
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers })
  const ready = gauge(QUEUE_READY_METRIC, 'Entries of the shared queue that are due and not leased.')
  const inFlight = gauge(QUEUE_IN_FLIGHT_METRIC, 'Entries of the shared queue that are leased.')
  const deferred = gauge(QUEUE_DEFERRED_METRIC, 'Entries of the shared queue that are due later.')
  const oldest = gauge(QUEUE_OLDEST_READY_METRIC, 'For how long the oldest ready entry has been due.')
  const unknown = gauge(
    'mailfleet_queue_unknown_version',
    'Entries written by a release this one does not know.',
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
