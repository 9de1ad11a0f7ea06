// How a fleet may scale: the numbers a person chooses, and the two that follow from them.
// Owns: the schema of a scaling policy (bad values become an InputError that names the key) and Little's law.
// Fails only at the edge, when a policy is read; every function below is total.
import * as v from 'valibot'

const count = v.pipe(v.number(), v.safeInteger('a whole number'), v.minValue(1, 'at least 1'))
const durationMs = v.pipe(
  v.number(),
  v.minValue(0, 'a duration in ms, 0 or more'),
  v.finite('a finite duration in ms'),
)
const windowMs = v.pipe(
  v.number(),
  v.integer('whole ms, 100 to 3600000'),
  v.minValue(100, 'whole ms, 100 to 3600000'),
  v.maxValue(3_600_000, 'whole ms, 100 to 3600000'),
)
const positiveMs = v.pipe(
  v.number(),
  v.gtValue(0, 'a duration in ms, above 0'),
  v.finite('a finite duration in ms'),
)

/**
 * Defaults are for a real fleet with a signal every 10 s:
 * - `acceptableDelayMs` 10 s: what forwarded mail may wait without anyone noticing.
 * - `surge` at three targets of backlog, 4 instances at once, for a fleet of one: a retry storm multiplies the arrivals
 *   several times within one period. From two warm instances on the target rule asks for as many or more.
 * - `scaleIn` below half a target for 30 periods of 10 s, so 5 minutes of evidence an instance. AWS target
 *   tracking waits for 15 one-minute samples; a forwarder's instances hold no state, hence the third of it.
 * - `warmupMs` 30 s: launch to first forwarded mail, from the boot test, rounded up.
 */
export const scalingPolicySchema = v.pipe(
  v.strictObject({
    minInstances: v.optional(count, 1),
    maxInstances: v.optional(count, 10),
    /** How long an accepted message may wait before its first delivery attempt. */
    acceptableDelayMs: v.optional(positiveMs, 10_000),
    /** How long one delivery takes, remote latency included. */
    deliveryMs: v.optional(positiveMs, 1_000),
    /** Deliveries an instance runs at once. */
    concurrency: v.optional(count, 10),
    /** How long a refused message counts as demand. The instances are told. */
    refusedWindowMs: v.optional(windowMs, 60_000),
    /** How long a launched instance, once in service, is not yet counted as capacity that has shown its effect. */
    warmupMs: v.optional(durationMs, 30_000),
    surge: v.optional(
      v.strictObject({
        /** Backlog per instance, in targets, at which the step applies. */
        targets: v.optional(v.pipe(v.number(), v.minValue(1, 'at least 1 target')), 3),
        /** Instances on top of the warm ones. */
        step: v.optional(count, 4),
      }),
      {},
    ),
    scaleIn: v.optional(
      v.strictObject({
        /** The smaller fleet must hold the demand within this part of the target. Below 1, or the fleet flaps. */
        fraction: v.optional(
          v.pipe(v.number(), v.gtValue(0, 'above 0'), v.ltValue(1, 'below 1, or the fleet flaps')),
          0.5,
        ),
        /** Consecutive periods below before anything goes. */
        periods: v.optional(count, 30),
        /** Instances that go at once. */
        step: v.optional(count, 1),
        /** Least time from any change of the fleet to a scale-in. */
        cooldownMs: v.optional(durationMs, 60_000),
      }),
      {},
    ),
  }),
  v.forward(
    v.partialCheck(
      [['minInstances'], ['maxInstances']],
      ({ minInstances, maxInstances }) => minInstances <= maxInstances,
      'at least minInstances',
    ),
    ['maxInstances'],
  ),
)

export type ScalingPolicy = v.InferOutput<typeof scalingPolicySchema>

/**
 * How much backlog one instance may have: acceptable delay ÷ time per message (Little's law, L = λW, with
 * λ = concurrency ÷ delivery time). 10 s ÷ (1000 ms ÷ 10) = 100 messages. At least 1.
 * The same arithmetic as AWS's "Scaling policy based on Amazon SQS": acceptable backlog per instance.
 */
export function targetBacklog(policy: ScalingPolicy): number {
  const messageMs = policy.deliveryMs / policy.concurrency
  return Math.max(1, policy.acceptableDelayMs / messageMs)
}

/**
 * Clamps to the group's bounds. Never an error: a wish above the maximum still launches up to the maximum, and what is
 * no number is the minimum.
 */
export function clampInstances(instances: number, policy: ScalingPolicy): number {
  if (Number.isNaN(instances)) return policy.minInstances
  return Math.min(policy.maxInstances, Math.max(policy.minInstances, instances))
}
