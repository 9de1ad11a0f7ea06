// CloudWatch metrics of a fleet: the queue pulse writes them; alarms and scaling policies read them.
// Kept apart from infra/pulse/metrics.ts, so that the Pulumi program loads no AWS SDK.

export const METRIC_NAMESPACE = 'Mailfleet'

/** The one dimension of each metric; its value is the fleet's name. */
export const FLEET_DIMENSION = 'Fleet'

export type PulseMetric =
  | 'Demand'
  | 'DemandPerInstance'
  | 'Ready'
  | 'InFlight'
  | 'Deferred'
  /** Messages refused that another instance could have taken. */
  | 'RefusedForLoad'
  /** Refusals because something is full or broken. Not demand: they block scale-in and raise an alarm. */
  | 'RefusedForFault'
  /** Instances in service or pending. */
  | 'Capacity'
  /** Instances that the group does not need. */
  | 'Surplus'
  /** Queue entries of a version that no instance knows. */
  | 'UnknownVersion'
  /** 1 when the pulse could not measure the slot. Then it publishes no other metric. */
  | 'PulseFailed'

/** A fleet's metric, as the arguments of a CloudWatch alarm. */
export function fleetMetric<Name>(fleetName: Name, metricName: PulseMetric) {
  return { namespace: METRIC_NAMESPACE, metricName, dimensions: { [FLEET_DIMENSION]: fleetName } }
}
