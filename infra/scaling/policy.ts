// A fleet's scaling policy: its schema, and the figures that follow from it (Little's law).
// A bad policy fails with an InputError that names the key. The functions are total.
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
 * Defaults for a production fleet with a signal every 10 s:
 * - `acceptableDelayMs` 10 s: recipients do not notice such a delay.
 * - `surge` at three targets of backlog, 4 instances at once, for a fleet of one. A retry storm multiplies the arrivals
 *   several times within one period. From two warm instances on, the target rule asks for as many or more.
 * - `scaleIn` after 30 periods of 10 s below half a target: 5 minutes per instance. AWS target tracking waits for 15
 *   one-minute samples. Our instances hold no state, so a third of that is enough.
 * - `warmupMs` 30 s: from launch to first forwarded mail, as the boot test measures it, rounded up.
 */
export const scalingPolicySchema = v.pipe(
  v.strictObject({
    minInstances: v.optional(count, 1),
    maxInstances: v.optional(count, 10),
    /** How long an accepted message may wait before its first delivery attempt. */
    acceptableDelayMs: v.optional(positiveMs, 10_000),
    /** How long one delivery takes, remote latency included. */
    deliveryMs: v.optional(positiveMs, 1_000),
    /** Concurrent deliveries of an instance. */
    concurrency: v.optional(count, 10),
    /** How long a refused message counts as demand. The instances get this value too. */
    refusedWindowMs: v.optional(windowMs, 60_000),
    /** How long an instance in service counts as warming up: its effect does not show in the demand yet. */
    warmupMs: v.optional(durationMs, 30_000),
    surge: v.optional(
      v.strictObject({
        /** Backlog per instance, in targets, at which the step applies. */
        targets: v.optional(v.pipe(v.number(), v.minValue(1, 'at least 1 target')), 3),
        /** Instances to add to the warm ones. */
        step: v.optional(count, 4),
      }),
      {},
    ),
    scaleIn: v.optional(
      v.strictObject({
        /** Share of the target that the demand per instance of the smaller fleet may reach. Below 1, or the fleet flaps. */
        fraction: v.optional(
          v.pipe(v.number(), v.gtValue(0, 'above 0'), v.ltValue(1, 'below 1, or the fleet flaps')),
          0.5,
        ),
        /** Consecutive low periods before a scale-in. */
        periods: v.optional(count, 30),
        /** Instances to remove at once. */
        step: v.optional(count, 1),
        /** Least time between any change of the fleet's size and a scale-in. */
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
 * Acceptable backlog per instance, in messages: acceptable delay ÷ time per message (Little's law, L = λW, with
 * λ = concurrency ÷ delivery time). 10 s ÷ (1000 ms ÷ 10) = 100 messages. At least 1.
 * The same arithmetic as in AWS's "Scaling policy based on Amazon SQS".
 */
export function targetBacklog(policy: ScalingPolicy): number {
  const messageMs = policy.deliveryMs / policy.concurrency
  return Math.max(1, policy.acceptableDelayMs / messageMs)
}

/**
 * Clamps to the group's bounds. NaN becomes the minimum. Too large a number is no error: the group still grows to its
 * maximum.
 */
export function clampInstances(instances: number, policy: ScalingPolicy): number {
  if (Number.isNaN(instances)) return policy.minInstances
  return Math.min(policy.maxInstances, Math.max(policy.minInstances, instances))
}
