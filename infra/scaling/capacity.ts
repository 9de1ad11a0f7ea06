// The scaling decision of a fleet on one machine. Pure: state comes in and goes out as a value. It cannot fail: without
// data, or with figures that are no numbers, the fleet keeps its size.
// On AWS it does not run. There the group's policies act on the pulse's metrics: see infra/aws/queue-scaling.ts.
//
// The rules follow the user guide of Amazon EC2 Auto Scaling:
// - Two scale-out rules apply, target tracking and a surge step. The larger result wins ("Dynamic scaling", multiple
//   policies). With the default policy the surge wins only with 0 or 1 warm instances. From 3 targets per instance on,
//   the target rule asks for 3 times the fleet: at least 4 more for 2 instances. On AWS the surge step
//   exists only while the pulse is silent.
// - Pending and warming instances count as capacity. So the same demand asks for the same fleet, and nothing is launched
//   twice ("Set the default instance warmup"). The surge step adds to warm instances only, so it is not repeated while
//   its own instances warm up ("Step and simple scaling policies", warmup).
// - Scale-out is immediate. Scale-in is slow. It never happens while instances are pending, while the backlog grows, or
//   while mail is refused because something is full or broken.
// - Missing data is INSUFFICIENT_DATA: no scaling ("Target tracking scaling policies", considerations).
import { demandOf, demandPerInstance, requiredInstances, isValidDemand, type Demand } from './demand.ts'
import { clampInstances, targetBacklog, type ScalingPolicy } from './policy.ts'

export type Signal = {
  /** undefined for missing data, which is not zero. */
  demand: Demand | undefined
  /** Refusals within the policy's window because something is full or broken. Not demand, but they prevent scale-in. */
  refusedForFault: number
  /** Instances in service whose warm-up has ended. */
  warm: number
  /** Instances that launch or warm up. Draining instances count in neither number. */
  pending: number
}

export type ScalingState = {
  /** The group's desired capacity after the last decision. */
  desired: number
  /** Consecutive periods in which fewer instances were enough. */
  lowPeriods: number
  /** Backlog, in messages, when those periods began and in the last period; null without data. */
  lowSinceBacklog: number | null
  lastBacklog: number | null
  /** When desired last changed, ms; null before the first change. */
  changedAtMs: number | null
}

/** The rule that decided; `hold` when no rule asked for a change. */
export type ScalingRule = 'hold' | 'target' | 'surge' | 'scale-in' | 'missing-data' | 'bounds'

export type Decision = { desired: number; rule: ScalingRule; reason: string; state: ScalingState }

const NOT_LOW = { lowPeriods: 0, lowSinceBacklog: null }

/** The state of a new group with `desired` instances. */
export function initialState(desired: number): ScalingState {
  return { ...NOT_LOW, desired, lastBacklog: null, changedAtMs: null }
}

/**
 * One period of the control loop.
 * @param state what the last decision returned, or {@link initialState}
 * @param nowMs any monotonic clock
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
  if (demand === undefined || !isValidDemand(demand) || !isValidInstanceCount(signal)) {
    return held({ ...state, ...NOT_LOW, lastBacklog: null }, 'missing-data', 'no data: no change')
  }
  const scaleOut = scaleOutRule(demandOf(demand), signal, policy)
  const out = clampInstances(scaleOut.instances, policy)
  const next = { ...state, lastBacklog: backlogOf(demand) }
  if (out > desired) {
    const limit = out < scaleOut.instances ? `, held to the maximum of ${policy.maxInstances}` : ''
    return changed(next, out, { rule: scaleOut.rule, reason: `${scaleOut.reason}${limit}` }, nowMs)
  }
  const enough = requiredInstances(demand, policy)
  if (enough >= desired) return held({ ...next, ...NOT_LOW }, 'hold', `${desired} needed`)
  if (signal.refusedForFault > 0) {
    const reason = `mail is refused because something is full or broken: ${desired} instances stay`
    return held({ ...next, ...NOT_LOW }, 'hold', reason)
  }
  return decideScaleIn(countLowPeriod(state, next), { enough, pending: signal.pending }, policy, nowMs)
}

/** Waiting and refused messages. Messages in flight are not backlog. */
function backlogOf({ ready, refusedForLoad }: Demand): number {
  return ready + refusedForLoad
}

function isValidInstanceCount({ warm, pending }: Signal): boolean {
  return [warm, pending].every((instances) => Number.isFinite(instances) && instances >= 0)
}

type ScaleOut = { instances: number; rule: ScalingRule; reason: string }

function scaleOutRule(demand: number, signal: Signal, policy: ScalingPolicy): ScaleOut {
  const target = targetBacklog(policy)
  const tracked = Math.ceil(demand / target)
  const backlog = demandPerInstance(demand, signal.warm + signal.pending)
  const stepped = signal.warm + policy.surge.step
  if (backlog >= target * policy.surge.targets && stepped > tracked) {
    const reason = `backlog ${round(backlog)} per instance, surge from ${round(target * policy.surge.targets)}`
    return {
      instances: stepped,
      rule: 'surge',
      reason: `${reason}: ${policy.surge.step} more than the ${signal.warm} warm`,
    }
  }
  const reason = `demand ${round(demand)} ÷ target ${round(target)} per instance`
  return { instances: tracked, rule: 'target', reason }
}

type LowDemand = { state: ScalingState; growsNow: boolean; grewSince: boolean }

/** Counts one more period in which fewer instances are enough, and reports whether the backlog grows. */
function countLowPeriod(before: ScalingState, state: ScalingState): LowDemand {
  const backlog = state.lastBacklog ?? 0
  const since = before.lowSinceBacklog ?? backlog
  return {
    state: { ...state, lowPeriods: before.lowPeriods + 1, lowSinceBacklog: since },
    growsNow: backlog > (before.lastBacklog ?? backlog),
    grewSince: backlog > since,
  }
}

/**
 * Scale-in, when fewer instances than desired ({@link requiredInstances}) were enough for the policy's periods. If the
 * backlog has grown over those periods, the count starts again.
 */
function decideScaleIn(
  { state, growsNow, grewSince }: LowDemand,
  { enough, pending }: { enough: number; pending: number },
  policy: ScalingPolicy,
  nowMs: number,
): Decision {
  const { desired, lowPeriods } = state
  const { periods, step, cooldownMs } = policy.scaleIn
  const wait = (why: string) => held(state, 'hold', `${enough} are enough, ${why}`)
  if (lowPeriods < periods) return wait(`${lowPeriods} of ${periods} periods`)
  if (grewSince) return { ...wait('but the backlog has grown'), state: { ...state, ...NOT_LOW } }
  if (growsNow) return wait('but the backlog grows')
  if (pending > 0) return wait(`but ${pending} launch or warm up`)
  if (state.changedAtMs !== null && nowMs - state.changedAtMs < cooldownMs) return wait('cooldown')
  const next = Math.max(enough, desired - step)
  const reason = `${enough} are enough for ${lowPeriods} periods: down by ${desired - next}`
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
