// A fleet's demand, and the number of instances that it needs. Pure and total.
// The local control loop decides on these figures; on AWS the pulse publishes them and scaling policies act on them.
import { clampInstances, targetBacklog, type ScalingPolicy } from './policy.ts'

/** The fleet's demand, in messages. Deferred mail is not demand: instances for it would be idle. */
export type Demand = {
  /** Due and not leased. */
  ready: number
  /** Leased by an instance. */
  inFlight: number
  /** Refused within the policy's window for sessions, backlog or memory: another instance could have taken them. */
  refusedForLoad: number
}

/** Whether all figures are finite and not negative. If not, the data is missing. */
export function isValidDemand({ ready, inFlight, refusedForLoad }: Demand): boolean {
  return [ready, inFlight, refusedForLoad].every((figure) => Number.isFinite(figure) && figure >= 0)
}

/** Demand in messages: ready + in flight + refused for load. */
export function demandOf({ ready, inFlight, refusedForLoad }: Demand): number {
  return ready + inFlight + refusedForLoad
}

/**
 * Demand per instance, in messages. AWS target tracking compares it with {@link targetBacklog} ("Scaling policy based
 * on Amazon SQS": backlog per instance).
 * @param demand in messages
 * @param capacity instances in service and pending. An empty group counts as one instance. Division by zero would leave a
 *   gap in the metric, and an alarm without data launches nothing.
 */
export function demandPerInstance(demand: number, capacity: number): number {
  return demand / Math.max(1, capacity)
}

/**
 * How many instances the demand needs, within the policy's bounds: the larger of two numbers.
 * - By backlog: the demand per instance is at most `scaleIn.fraction` of the target, so that scale-out and scale-in have
 *   different thresholds.
 * - By work in flight: in flight ÷ concurrency instances are busy (Little's law). A fleet without backlog still needs
 *   them.
 */
export function requiredInstances(demand: Demand, policy: ScalingPolicy): number {
  const byBacklog = Math.ceil(demandOf(demand) / (targetBacklog(policy) * policy.scaleIn.fraction))
  const byInFlight = Math.ceil(demand.inFlight / policy.concurrency)
  return clampInstances(Math.max(byBacklog, byInFlight), policy)
}

/**
 * Instances that the group does not need; never negative. Zero while an instance is pending, or while mail is refused
 * because something is full or broken, as in the local fleet.
 */
export function surplusInstances(
  demand: Demand,
  group: { inService: number; pending: number; refusedForFault: number },
  policy: ScalingPolicy,
): number {
  if (group.pending > 0 || group.refusedForFault > 0) return 0
  return Math.max(0, group.inService - requiredInstances(demand, policy))
}
