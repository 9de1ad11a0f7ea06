// One period's observation of the fleet, from its instances' metrics: gauges of the shared queue, sums of counters.
// An instance that did not answer, or whose page lacks a queue gauge, reports no queue. When no instance does, the
// observation has no queue: missing data, not zero.
import { observeGrowth, emptyWindow, type GrowthWindow } from '../scaling/growth-window.ts'
import { sumOf, type Sample } from './prometheus.ts'
import {
  ACCEPTED_METRIC,
  QUEUE_DEFERRED_METRIC,
  QUEUE_IN_FLIGHT_METRIC,
  QUEUE_OLDEST_READY_METRIC,
  QUEUE_READY_METRIC,
  REFUSED_FOR_FAULT_METRIC,
  REFUSED_FOR_LOAD_METRIC,
} from '../../contract/server-metric-names.ts'

/** An instance's metrics in this period; undefined when it did not answer in time. */
export type Scrape = { id: string; samples: readonly Sample[] | undefined }

export type QueueGauges = { ready: number; inFlight: number; deferred: number; oldestReadySeconds: number }

export type Observation = {
  /** undefined for missing data. */
  queue: QueueGauges | undefined
  /** Messages refused within the window that another instance could have taken. */
  refusedForLoad: number
  /** Refusals within the window because something is full or broken. */
  refusedForFault: number
  /** Messages accepted since the last observation. */
  accepted: number
  memory: ObservationMemory
}

/** State that one observation passes to the next. */
export type ObservationMemory = { refused: GrowthWindow; faults: GrowthWindow; accepted: GrowthWindow }

export const emptyMemory: ObservationMemory = {
  refused: emptyWindow,
  faults: emptyWindow,
  accepted: emptyWindow,
}

/**
 * Combines the scrapes of one period.
 * @param scrapes one for each living instance, also for those that did not answer
 * @param refusedWindowMs how long a refusal counts
 */
export function observe(
  scrapes: readonly Scrape[],
  memory: ObservationMemory,
  refusedWindowMs: number,
  nowMs: number,
): Observation {
  const refused = observeGrowth(
    memory.refused,
    counters(scrapes, REFUSED_FOR_LOAD_METRIC),
    refusedWindowMs,
    nowMs,
  )
  const faults = observeGrowth(
    memory.faults,
    counters(scrapes, REFUSED_FOR_FAULT_METRIC),
    refusedWindowMs,
    nowMs,
  )
  // An empty window: it will hold this observation's growth only.
  const accepted = observeGrowth(
    { ...memory.accepted, growth: [] },
    counters(scrapes, ACCEPTED_METRIC),
    Infinity,
    nowMs,
  )
  return {
    queue: scrapes.map(({ samples }) => queueGauges(samples)).find((gauges) => gauges !== undefined),
    refusedForLoad: refused.grown,
    refusedForFault: faults.grown,
    accepted: accepted.grown,
    memory: { refused: refused.window, faults: faults.window, accepted: accepted.window },
  }
}

/** Every instance sees the same shared queue, so one complete answer is enough. */
function queueGauges(samples: readonly Sample[] | undefined): QueueGauges | undefined {
  if (samples === undefined) return undefined
  const gauge = (name: string) => {
    const value = sumOf(samples, name)
    return value !== undefined && Number.isFinite(value) ? value : undefined
  }
  const [ready, inFlight, deferred] = [QUEUE_READY_METRIC, QUEUE_IN_FLIGHT_METRIC, QUEUE_DEFERRED_METRIC].map(
    gauge,
  )
  if (ready === undefined || inFlight === undefined || deferred === undefined) return undefined
  return { ready, inFlight, deferred, oldestReadySeconds: gauge(QUEUE_OLDEST_READY_METRIC) ?? 0 }
}

function counters(scrapes: readonly Scrape[], name: string): Record<string, number | undefined> {
  return Object.fromEntries(scrapes.map(({ id, samples }) => [id, samples && (sumOf(samples, name) ?? 0)]))
}
