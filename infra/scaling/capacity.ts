// From demand to the number of instances, for the fleet on one machine. Pure: state goes in and comes out as a value.
// Owns: the scaling decision. It cannot fail: without data, or with figures that are no numbers, it keeps what there is.
// On AWS this function does not run. There the group's own policies decide on the figures of demand.ts, which the pulse
// publishes: see infra/aws/queue-scaling.ts.
//
// The rules follow Amazon EC2 Auto Scaling, from its user guide:
// - Two scale-out rules side by side, target tracking and a surge step; the one that gives more instances wins
//   ("Dynamic scaling", multiple policies: the policy that provides the largest capacity). With the default policy the
//   surge can win only with 0 or 1 warm instances: from 3 targets an instance on, the target rule asks for 3 times the
//   fleet, and that is at least 4 more from 2 instances on. AWS has a surge step only while the pulse is silent.
// - An instance that is launching or warming up counts as capacity, so the same demand asks for the same fleet and
//   nothing is launched twice ("Set the default instance warmup"). The surge step is on top of the warm instances
//   only, so it is not repeated while its own instances warm up ("Step and simple scaling policies", warmup).
// - Scale-out at once. Scale-in slowly, and never while instances are on their way, while the backlog grows, or while
//   mail is refused because something is full or broken.
// - Missing data is INSUFFICIENT_DATA: no scaling ("Target tracking scaling policies", considerations).
import { demandOf, demandPerInstance, requiredInstances, isValidDemand, type Demand } from './demand.ts'
import { clampInstances, targetBacklog, type ScalingPolicy } from './policy.ts'

export type Signal = {
  /** undefined when nobody could say: missing data, which is not zero. */
  demand: Demand | undefined
  /** Refused within the policy's window because something is full or broken. No demand, but it holds capacity. */
  refusedForFault: number
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
  /** The backlog when that began, and in the last period; null without data. Messages. */
  lowSinceBacklog: number | null
  lastBacklog: number | null
  /** When desired last changed, ms; null before the first change. */
  changedAtMs: number | null
}

/** Which rule decided. `hold` means that none asked for a change. */
export type ScalingRule = 'hold' | 'target' | 'surge' | 'scale-in' | 'missing-data' | 'bounds'

export type Decision = { desired: number; rule: ScalingRule; reason: string; state: ScalingState }

/** No period yet in which a smaller fleet would have done. */
const NOT_LOW = { lowPeriods: 0, lowSinceBacklog: null }

/** The state of a group that starts with `desired` instances. */
export function initialState(desired: number): ScalingState {
  return { ...NOT_LOW, desired, lastBacklog: null, changedAtMs: null }
}

/**
 * One period of the control loop.
 * @param state what the last decision returned, or {@link initialState}
 * @param nowMs any clock that only goes forward; compared with itself alone
 * @returns the desired number of instances, within the policy's bounds, and why
 */
export function decideCapacity(
  state: ScalingState,
  signal: Signal,
  policy: ScalingPolicy,
  nowMs: number,
): Decision {
  const desired = clampInstances(state.desired, policy)
  if (desired !== state.desired) {
    const reason = `${state.desired} is outside ${bounds(policy)}`
    return changed({ ...state, lastBacklog: null }, desired, { rule: 'bounds', reason }, nowMs)
  }
  const { demand } = signal
  if (demand === undefined || !isValidDemand(demand) || !isPopulation(signal)) {
    return held({ ...state, ...NOT_LOW, lastBacklog: null }, 'missing-data', 'no data: nothing changes')
  }
  const wish = scaleOutWish(demandOf(demand), signal, policy)
  const out = clampInstances(wish.instances, policy)
  const next = { ...state, lastBacklog: backlogOf(demand) }
  if (out > desired) {
    const limit = out < wish.instances ? `, held to the maximum of ${policy.maxInstances}` : ''
    return changed(next, out, { rule: wish.rule, reason: `${wish.reason}${limit}` }, nowMs)
  }
  const enough = requiredInstances(demand, policy)
  if (enough >= desired) return held({ ...next, ...NOT_LOW }, 'hold', `${desired} needed`)
  if (signal.refusedForFault > 0) {
    const reason = `mail is refused because something is full or broken: ${desired} are kept`
    return held({ ...next, ...NOT_LOW }, 'hold', reason)
  }
  return decideScaleIn(countLow(state, next), { enough, pending: signal.pending }, policy, nowMs)
}

/** What waits or will come back. Work in flight is no backlog. */
function backlogOf({ ready, refusedForLoad }: Demand): number {
  return ready + refusedForLoad
}

function isPopulation({ warm, pending }: Signal): boolean {
  return [warm, pending].every((instances) => Number.isFinite(instances) && instances >= 0)
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

type Low = { state: ScalingState; growsNow: boolean; grewSince: boolean }

/** One more period in which a smaller fleet would do, and whether the backlog grows all the same. */
function countLow(before: ScalingState, state: ScalingState): Low {
  const backlog = state.lastBacklog ?? 0
  const since = before.lowSinceBacklog ?? backlog
  return {
    state: { ...state, lowPeriods: before.lowPeriods + 1, lowSinceBacklog: since },
    growsNow: backlog > (before.lastBacklog ?? backlog),
    grewSince: backlog > since,
  }
}

/**
 * Scale-in: fewer instances than desired would do ({@link requiredInstances}), and have for the policy's periods.
 * A backlog that has grown over those periods begins them anew.
 */
function decideScaleIn(
  { state, growsNow, grewSince }: Low,
  { enough, pending }: { enough: number; pending: number },
  policy: ScalingPolicy,
  nowMs: number,
): Decision {
  const { desired, lowPeriods } = state
  const { periods, step, cooldownMs } = policy.scaleIn
  const wait = (why: string) => held(state, 'hold', `${enough} would do, ${why}`)
  if (lowPeriods < periods) return wait(`${lowPeriods} of ${periods} periods`)
  if (grewSince) return { ...wait('but the backlog has grown'), state: { ...state, ...NOT_LOW } }
  if (growsNow) return wait('but the backlog grows')
  if (pending > 0) return wait(`but ${pending} still warming up`)
  if (state.changedAtMs !== null && nowMs - state.changedAtMs < cooldownMs) return wait('cooling down')
  const next = Math.max(enough, desired - step)
  const reason = `${enough} would do for ${lowPeriods} periods: down by ${desired - next}`
  return changed(state, next, { rule: 'scale-in', reason }, nowMs)
}

function held(state: ScalingState, rule: ScalingRule, reason: string): Decision {
  return { desired: state.desired, rule, reason, state }
}

function changed(
  state: ScalingState,
  desired: number,
  why: Pick<Decision, 'rule' | 'reason'>,
  nowMs: number,
): Decision {
  return { ...why, desired, state: { ...state, ...NOT_LOW, desired, changedAtMs: nowMs } }
}

function bounds({ minInstances, maxInstances }: ScalingPolicy): string {
  return `${minInstances} to ${maxInstances}`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
