// What the instances say, put together: the shared queue's gauges and the fleet's counters.
// Owns: the names of the metrics that scaling reads. An instance that did not answer, or whose page lacks a queue
// gauge, says nothing; when none says anything the observation has no queue, which is missing data and not zero.
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

/** One instance's answer in this period; undefined when it gave none in time. */
export type Scrape = { id: string; samples: readonly Sample[] | undefined }

export type QueueGauges = { ready: number; inFlight: number; deferred: number; oldestReadySeconds: number }

export type Observation = {
  /** undefined: nobody could say. */
  queue: QueueGauges | undefined
  /** Messages refused within the window that another instance could have taken. */
  refusedForLoad: number
  /** Refusals within the window because something is full or broken. */
  refusedForFault: number
  /** Messages accepted since the last observation. */
  accepted: number
  memory: ObservationMemory
}

/** What one observation hands to the next. */
export type ObservationMemory = { refused: GrowthWindow; faults: GrowthWindow; accepted: GrowthWindow }

export const emptyMemory: ObservationMemory = {
  refused: emptyWindow,
  faults: emptyWindow,
  accepted: emptyWindow,
}

/**
 * Puts one period's answers together.
 * @param scrapes one of every living instance, those that did not answer as well
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
  // A window that holds nothing but this observation's own growth.
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

/** The queue is shared and every instance sees the same, so one complete answer is the answer. */
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
