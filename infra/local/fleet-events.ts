// Events of a running fleet: a row per period, changes of the desired capacity, changes of an instance's state.
// The control loop emits them; the storm, the report and the terminal read them.
import type { ScalingRule } from '../scaling/capacity.ts'
import type { InstanceView } from './instance.ts'

/** Figures and decision of one period. Queue figures are null for missing data. */
export type FleetRow = {
  /** Time since the fleet started. */
  tMs: number
  ready: number | null
  inFlight: number | null
  deferred: number | null
  oldestReadySeconds: number | null
  refusedForLoad: number
  /** Refusals because something is full or broken: not demand, but a fault to repair. */
  refusedForFault: number
  demand: number | null
  acceptedPerSecond: number
  desired: number
  inService: number
  pending: number
  terminating: number
}

/** A change of the desired capacity. `atMs` is time since the fleet started. */
export type ScaleEvent = { atMs: number; from: number; to: number; rule: ScalingRule; reason: string }

export type FleetEvents = { row: [FleetRow]; scale: [ScaleEvent]; instance: [InstanceView] }
