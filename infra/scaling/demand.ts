// What a fleet owes, and how many instances that takes. The local control loop and the queue pulse on AWS share these
// sums; AWS's own policies act on the pulse's result. Owns: demand and the numbers that follow from it. Pure and total: it cannot fail.
import { clampInstances, targetBacklog, type ScalingPolicy } from './policy.ts'

/** What the fleet owes at this moment, in messages. Deferred mail is not owed yet: it would buy useless instances. */
export type Demand = {
  /** Due now, not leased. */
  ready: number
  /** Leased by an instance. */
  inFlight: number
  /** Refused within the policy's window for sessions, backlog or memory: another instance could have taken them. */
  refusedForLoad: number
}

/** Whether every figure is a number that can be counted. Anything else is missing data. */
export function isValidDemand({ ready, inFlight, refusedForLoad }: Demand): boolean {
  return [ready, inFlight, refusedForLoad].every((figure) => Number.isFinite(figure) && figure >= 0)
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
export function requiredInstances(demand: Demand, policy: ScalingPolicy): number {
  const byBacklog = Math.ceil(demandOf(demand) / (targetBacklog(policy) * policy.scaleIn.fraction))
  const byWorkUnderWay = Math.ceil(demand.inFlight / policy.concurrency)
  return clampInstances(Math.max(byBacklog, byWorkUnderWay), policy)
}

/**
 * Instances that the group could do without; never negative. As in the local fleet there is none while an instance is
 * on its way, or while mail is refused because something is full or broken.
 */
export function surplusInstances(
  demand: Demand,
  group: { inService: number; pending: number; refusedForFault: number },
  policy: ScalingPolicy,
): number {
  if (group.pending > 0 || group.refusedForFault > 0) return 0
  return Math.max(0, group.inService - requiredInstances(demand, policy))
}
