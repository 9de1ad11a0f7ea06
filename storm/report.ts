// The figures of a run, as build/reports/start.json holds them: the key names are a contract.
// Owns: the shapes. What the fleet and its storm measured comes from storm/; image and boot are added by the caller.
import type { FleetRow, ScaleEvent } from '../infra/local/fleet-events.ts'
import type { MailSummary } from './ledger.ts'
import type { Phase } from './scenario.ts'

/** One period of the storm: the fleet's row and what senders, sink and processors did meanwhile. */
export type TimelineRow = FleetRow & {
  /** Attempts per second, retries included. */
  offeredPerSecond: number
  /** Of them first attempts. */
  newPerSecond: number
  acceptedPerSecond: number
  forwardedPerSecond: number
  /** Of what arrived in this period; null when nothing did. */
  delayP50Ms: number | null
  delayP99Ms: number | null
  /** 0 to 1. */
  cpuIdle: number | null
}

export type PhaseTime = Pick<Phase, 'name' | 'perSecond'> & { fromMs: number; toMs: number }

/** Capacity as one instance has it: for the report's reader, to see what the load means. */
export type InstanceCapacity = {
  concurrency: number
  meanLatencyMs: number
  forwardsPerSecond: number
  targetBacklog: number
  /** How long a refused message counts as demand. */
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
  /** Of all processors, what senders, sink and instances together took over the peak phase, 0 to 1. */
  cpuUsedAtPeak: number
  cpus: number
  phases: PhaseTime[]
  timeline: TimelineRow[]
  /** Length of the storm itself. */
  stormSeconds: number
}

export type StartReport = StormReport & {
  image?: { digest: string; bytes: number; cached: boolean }
  boot?: { accel: string; secondsToFirstForward: number; bytesRead: number; networkCut: boolean }
  /** Everything together. */
  seconds?: number
}
