// What a fleet owes, and how many instances that takes: the sums that the embedded control loop, the queue pulse and
// AWS's policies have in common. Owns: demand and the numbers that follow from it. Pure and total: it cannot fail.
import { clampInstances, targetBacklog, type ScalingPolicy } from './policy.ts'

/** What the fleet owes at this moment, in messages. Deferred mail is not owed yet: it would buy useless instances. */
export type Demand = {
  /** Due now, not leased. */
  ready: number
  /** Leased by an instance. */
  inFlight: number
  /** Refused with 4xx because of load within the policy's window: their senders will be back. */
  refusedForLoad: number
}

/** Demand in messages: ready + in flight + refused for load. */
export function demandOf({ ready, inFlight, refusedForLoad }: Demand): number {
  return ready + inFlight + refusedForLoad
}

/**
 * Demand an instance, in messages: what AWS target tracking holds against {@link targetBacklog} ("Scaling policy
 * based on Amazon SQS": backlog per instance).
 * @param demand in messages
 * @param capacity instances in service and on their way. A group of none is counted as one: dividing by zero would
 *   leave a hole in the metric, and an alarm without data launches nothing.
 */
export function demandPerInstance(demand: number, capacity: number): number {
  return demand / Math.max(1, capacity)
}

/**
 * The number of instances that would do, within the policy's bounds. They must hold the demand within
 * `scaleIn.fraction` of the target (so that the thresholds of scale-out and scale-in lie apart), and must have room
 * for the deliveries now under way: a fleet that keeps up has no backlog, yet its busy instances are needed (Little's
 * law again: in flight ÷ concurrency is the number of instances that the arrivals occupy).
 */
export function enoughInstances(demand: Demand, policy: ScalingPolicy): number {
  const byBacklog = Math.ceil(demandOf(demand) / (targetBacklog(policy) * policy.scaleIn.fraction))
  const byWorkUnderWay = Math.ceil(demand.inFlight / policy.concurrency)
  return clampInstances(Math.max(byBacklog, byWorkUnderWay), policy)
}

/**
 * Instances that the group could do without; never negative. None while any is on its way: as in the embedded
 * fleet, a group that still grows is not made smaller.
 */
export function surplusInstances(
  demand: Demand,
  group: { inService: number; pending: number },
  policy: ScalingPolicy,
): number {
  if (group.pending > 0) return 0
  return Math.max(0, group.inService - enoughInstances(demand, policy))
}
