// What a fleet tells while it runs: one row a period, each change of the desired capacity, each change of an instance.
// Owns: the shapes that the control loop writes and that the storm, the report and a terminal read.
import type { ScalingRule } from '../scaling/capacity.ts'
import type { InstanceView } from './instance.ts'

/** One period as it was seen and decided. Queue figures are null when nobody could say. */
export type FleetRow = {
  /** Since the fleet started. */
  tMs: number
  ready: number | null
  inFlight: number | null
  deferred: number | null
  oldestReadySeconds: number | null
  refusedForLoad: number
  /** Refused because something is full or broken: no demand, but a reason to look. */
  refusedForFault: number
  demand: number | null
  acceptedPerSecond: number
  desired: number
  inService: number
  pending: number
  terminating: number
}

/** One change of the desired capacity; `atMs` on the clock of {@link FleetRow}. */
export type ScaleEvent = { atMs: number; from: number; to: number; rule: ScalingRule; reason: string }

export type FleetEvents = { row: [FleetRow]; scale: [ScaleEvent]; instance: [InstanceView] }
