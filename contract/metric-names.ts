// The words between the pulse, which writes the metrics, and the alarms and policies that read them.
// Owns: the names. Apart from metrics.ts, so that the Pulumi program loads no AWS SDK for them.

export const METRIC_NAMESPACE = 'Mailfleet'

export type PulseMetric =
  | 'Demand'
  | 'DemandPerInstance'
  | 'Ready'
  | 'InFlight'
  | 'Deferred'
  /** Messages refused that another instance could have taken. */
  | 'RefusedForLoad'
  /** Refusals because something is full or broken. No demand; they hold capacity and alarm. */
  | 'RefusedForFault'
  /** Instances in service and on their way. */
  | 'Capacity'
  /** Instances that the group could do without. */
  | 'Surplus'
  | 'UnknownVersion'
  /** 1 when the pulse could not measure; then none of the others is there. */
  | 'PulseFailed'

/** A fleet's metric, as CloudWatch's alarms name it. */
export function fleetMetric<Name>(fleetName: Name, metricName: PulseMetric) {
  return { namespace: METRIC_NAMESPACE, metricName, dimensions: { Fleet: fleetName } }
}
