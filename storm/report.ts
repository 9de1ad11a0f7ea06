// The figures of a run, as build/reports/start.json has them. The key names are a contract.
// `mailfleet start` adds the figures of the image and the boot test.
import type { FleetRow, ScaleEvent } from '../infra/local/fleet-events.ts'
import type { MailSummary } from './ledger.ts'
import type { Phase } from './scenario.ts'

/** One period: the fleet's row, with the figures of the senders, the sink and the processors. */
export type TimelineRow = FleetRow & {
  /** Attempts per second, including retries. */
  offeredPerSecond: number
  /** First attempts per second. */
  newPerSecond: number
  acceptedPerSecond: number
  forwardedPerSecond: number
  /** Of the messages that arrived in this period; null when none did. */
  delayP50Ms: number | null
  delayP99Ms: number | null
  /** 0 to 1. */
  cpuIdle: number | null
}

export type PhaseTime = Pick<Phase, 'name' | 'perSecond'> & { fromMs: number; toMs: number }

/** The capacity of one instance, so that the report can compare the load with it. */
export type InstanceCapacity = {
  concurrency: number
  meanLatencyMs: number
  forwardsPerSecond: number
  targetBacklog: number
  /** A refused message counts as demand for so long. */
  refusedWindowMs: number
}

export type StormReport = {
  /** ISO 8601, UTC. */
  startedAt: string
  fleet: {
    maxInstances: number
    finalInstances: number
    launched: number
    crashed: number
    capacity: InstanceCapacity
  }
  mail: MailSummary
  scaleEvents: ScaleEvent[]
  /** Average over the peak phase, 0 to 1. */
  cpuIdleAtPeak: number
  /** Share of all processors that senders, sink and instances used in the peak phase, 0 to 1. */
  cpuUsedAtPeak: number
  cpus: number
  phases: PhaseTime[]
  timeline: TimelineRow[]
  stormSeconds: number
}

export type StartReport = StormReport & {
  image?: { digest: string; bytes: number; cached: boolean }
  boot?: { accel: string; secondsToFirstForward: number; bytesRead: number; networkCut: boolean }
  /** The whole run, with the bake and the boot test. */
  seconds?: number
}
