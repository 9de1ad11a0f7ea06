// From demand to the number of instances: one pure function, for the embedded fleet, the simulator and AWS alike.
// Owns: the scaling decision. State goes in and comes out as a value, the reason comes back as a value, nothing is
// logged, read or timed here. It cannot fail: without data it keeps what there is.
//
// The semantics are those of Amazon EC2 Auto Scaling, from its user guide:
// - Two scale-out rules side by side, target tracking and a surge step; the one that gives more instances wins
//   ("Dynamic scaling", multiple policies: the policy that provides the largest capacity).
// - An instance that is launching or warming up counts as capacity, so the same demand asks for the same fleet and
//   nothing is launched twice ("Set the default instance warmup"). The surge step is on top of the warm instances
//   only, so it is not repeated while its own instances warm up ("Step and simple scaling policies", warmup).
// - Scale-out at once, scale-in slowly, and never while instances are on their way.
// - Missing data is INSUFFICIENT_DATA: no scaling ("Target tracking scaling policies", considerations).
import { demandOf, demandPerInstance, enoughInstances, type Demand } from './demand.ts'
import { clampInstances, targetBacklog, type ScalingPolicy } from './policy.ts'

export type Signal = {
  /** undefined when nobody could say: missing data, which is not zero. */
  demand: Demand | undefined
  /** Instances in service that are past their warm-up. */
  warm: number
  /** Instances launching, or in service and still warming up. Draining ones are in neither number. */
  pending: number
}

export type ScalingState = {
  /** The group's desired capacity after the last decision. */
  desired: number
  /** Consecutive periods in which a smaller fleet would have done. */
  lowPeriods: number
  /** When desired last changed, ms; null before the first change. */
  changedAtMs: number | null
}

/** Which rule decided. `hold` means that none asked for a change. */
export type ScalingRule = 'hold' | 'target' | 'surge' | 'scale-in' | 'missing-data' | 'bounds'

export type Decision = { desired: number; rule: ScalingRule; reason: string; state: ScalingState }

/** The state of a group that starts with `desired` instances. */
export function initialState(desired: number): ScalingState {
  return { desired, lowPeriods: 0, changedAtMs: null }
}

/**
 * One period of the control loop.
 * @param state what the last decision returned, or {@link initialState}
 * @param nowMs any clock that only goes forward; compared with itself alone
 * @returns the desired number of instances, within the policy's bounds, and why
 */
export function decide(state: ScalingState, signal: Signal, policy: ScalingPolicy, nowMs: number): Decision {
  const desired = clampInstances(state.desired, policy)
  if (desired !== state.desired) {
    return changed(desired, 'bounds', `${state.desired} is outside ${bounds(policy)}`, nowMs)
  }
  if (signal.demand === undefined) {
    return held({ ...state, lowPeriods: 0 }, 'missing-data', 'no data: nothing changes')
  }
  const demand = demandOf(signal.demand)
  const wish = scaleOutWish(demand, signal, policy)
  const out = clampInstances(wish.instances, policy)
  if (out > desired) {
    const limit = out < wish.instances ? `, held to the maximum of ${policy.maxInstances}` : ''
    return changed(out, wish.rule, `${wish.reason}${limit}`, nowMs)
  }
  return decideScaleIn(state, signal.demand, signal.pending, policy, nowMs)
}

type Wish = { instances: number; rule: ScalingRule; reason: string }

function scaleOutWish(demand: number, signal: Signal, policy: ScalingPolicy): Wish {
  const target = targetBacklog(policy)
  const tracked = Math.ceil(demand / target)
  const backlog = demandPerInstance(demand, signal.warm + signal.pending)
  const stepped = signal.warm + policy.surge.step
  if (backlog >= target * policy.surge.targets && stepped > tracked) {
    const reason = `backlog ${round(backlog)} an instance, a surge from ${round(target * policy.surge.targets)} on`
    return {
      instances: stepped,
      rule: 'surge',
      reason: `${reason}: ${policy.surge.step} on top of ${signal.warm} warm`,
    }
  }
  const reason = `demand ${round(demand)} ÷ target ${round(target)} an instance`
  return { instances: tracked, rule: 'target', reason }
}

/** Scale-in: fewer instances than desired would do ({@link enoughInstances}), and have for the policy's periods. */
function decideScaleIn(
  state: ScalingState,
  demand: Demand,
  pending: number,
  policy: ScalingPolicy,
  nowMs: number,
): Decision {
  const { desired } = state
  const { periods, step, cooldownMs } = policy.scaleIn
  const enough = enoughInstances(demand, policy)
  if (enough >= desired) return held({ ...state, lowPeriods: 0 }, 'hold', `${desired} needed`)

  const lowPeriods = state.lowPeriods + 1
  const waiting = { ...state, lowPeriods }
  if (lowPeriods < periods)
    return held(waiting, 'hold', `${enough} would do, ${lowPeriods} of ${periods} periods`)
  if (pending > 0) return held(waiting, 'hold', `${enough} would do, but ${pending} still warming up`)
  if (state.changedAtMs !== null && nowMs - state.changedAtMs < cooldownMs) {
    return held(waiting, 'hold', `${enough} would do, cooling down`)
  }
  const next = Math.max(enough, desired - step)
  return changed(
    next,
    'scale-in',
    `${enough} would do for ${lowPeriods} periods: down by ${desired - next}`,
    nowMs,
  )
}

function held(state: ScalingState, rule: ScalingRule, reason: string): Decision {
  return { desired: state.desired, rule, reason, state }
}

function changed(desired: number, rule: ScalingRule, reason: string, nowMs: number): Decision {
  return { desired, rule, reason, state: { desired, lowPeriods: 0, changedAtMs: nowMs } }
}

function bounds({ minInstances, maxInstances }: ScalingPolicy): string {
  return `${minInstances} to ${maxInstances}`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
