// The pulse's metric values, and the one CloudWatch call that publishes them.
// Rejects when CloudWatch does not take them.
import { PutMetricDataCommand, type CloudWatchClient, type MetricDatum } from '@aws-sdk/client-cloudwatch'
import { demandOf, demandPerInstance, surplusInstances, type Demand } from '../scaling/demand.ts'
import type { ScalingPolicy } from '../scaling/policy.ts'
import { FLEET_DIMENSION, METRIC_NAMESPACE, type PulseMetric } from '../../contract/metric-names.ts'

export type Measurement = {
  demand: Demand
  /** Messages that are not due yet. */
  deferred: number
  inService: number
  pending: number
  /** Refusals because something is full or broken. */
  refusedForFault: number
  /** Queue entries of a version that no instance knows. */
  unknownVersion: number
}

export type MetricValues = Partial<Record<PulseMetric, number>>

/** All values of a measured slot. */
export function measuredValues(measured: Measurement, policy: ScalingPolicy): MetricValues {
  const { demand, deferred, inService, pending, refusedForFault, unknownVersion } = measured
  const messages = demandOf(demand)
  const capacity = inService + pending
  return {
    Demand: messages,
    DemandPerInstance: demandPerInstance(messages, capacity),
    Ready: demand.ready,
    InFlight: demand.inFlight,
    Deferred: deferred,
    RefusedForLoad: demand.refusedForLoad,
    RefusedForFault: refusedForFault,
    Capacity: capacity,
    Surplus: surplusInstances(demand, { inService, pending, refusedForFault }, policy),
    UnknownVersion: unknownVersion,
    PulseFailed: 0,
  }
}

/** The one value of a slot that could not be measured. */
export const failedValues: MetricValues = { PulseFailed: 1 }

/**
 * Publishes the values in one call, at high resolution, with the slot's timestamp.
 * @param slot `slotMs` is the start of the slot, in ms since the epoch
 */
export async function publishMetrics(
  cloudWatch: CloudWatchClient,
  { fleet, slotMs, values }: { fleet: string; slotMs: number; values: MetricValues },
  abortSignal: AbortSignal,
): Promise<void> {
  const data = Object.entries(values).map(([name, value]): MetricDatum => ({
    MetricName: name,
    Value: value,
    Timestamp: new Date(slotMs),
    StorageResolution: 1,
    Dimensions: [{ Name: FLEET_DIMENSION, Value: fleet }],
  }))
  const command = new PutMetricDataCommand({ Namespace: METRIC_NAMESPACE, MetricData: data })
  await cloudWatch.send(command, { abortSignal })
}
