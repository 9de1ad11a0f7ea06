// The pulse's metrics: their names, what they hold, and the one call that publishes a slot's set.
// Owns: the words between the pulse and whoever reads it (infra/aws/). Fails by rejecting when CloudWatch does not
// take them.
import { PutMetricDataCommand, type CloudWatchClient, type MetricDatum } from '@aws-sdk/client-cloudwatch'
import { demandOf, demandPerInstance, surplusInstances, type Demand } from '../scaling/demand.ts'
import type { ScalingPolicy } from '../scaling/policy.ts'
import { FLEET_DIMENSION, METRIC_NAMESPACE, type PulseMetric } from '../../contract/metric-names.ts'

export type Measurement = {
  demand: Demand
  /** Messages that are due later. */
  deferred: number
  /** Instances. */
  inService: number
  /** Instances on their way. */
  pending: number
  /** Refusals because something is full or broken. */
  refusedForFault: number
  /** Queue entries whose version no instance knows. */
  unknownVersion: number
}

export type MetricValues = Partial<Record<PulseMetric, number>>

/** The whole set of a slot that was measured. */
export function measuredValues(measured: Measurement, policy: ScalingPolicy): MetricValues {
  const { demand, deferred, inService, pending, refusedForFault, unknownVersion } = measured
  const owed = demandOf(demand)
  const capacity = inService + pending
  return {
    Demand: owed,
    DemandPerInstance: demandPerInstance(owed, capacity),
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

/** All that is known of a slot that could not be measured. */
export const failedValues: MetricValues = { PulseFailed: 1 }

/**
 * Publishes one set in one call, at high resolution, under the slot's own time.
 * @param slotMs start of the slot, ms since the epoch
 */
export async function publishMetrics(
  cloudWatch: CloudWatchClient,
  fleet: string,
  slotMs: number,
  values: MetricValues,
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
