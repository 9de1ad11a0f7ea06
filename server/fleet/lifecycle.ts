// A member's life in its Auto Scaling group: says when it may be put into service, keeps the group waiting for that while
// an outage is the reason, notices that it has to go, keeps the group waiting while it drains, says when it is done.
// Owns: the watch on the instance's metadata, and that nothing the group's API does holds up serving or leaving: its
// failures are logged, counted and tried again.
// Source: Amazon EC2 Auto Scaling user guide, "Retrieve the target lifecycle state through instance metadata"; Amazon
// EC2 user guide, "Spot Instance interruption notices".
import { setTimeout as sleep } from 'node:timers/promises'
import { awsErrorFields } from '../aws/errors.ts'
import type { Config } from '../config/schema.ts'
import type { Log } from '../log.ts'
import type { AutoScaling } from './auto-scaling.ts'
import type { LeaveReason } from './drain.ts'
import type { Metadata } from './metadata.ts'
import type { Metrics } from '../metrics.ts'

export type Lifecycle = {
  /** Looks now: the instance has become ready. */
  ready: () => void
  /** The instance drains: the group, if it waits for that, is kept waiting. */
  draining: () => void
  /**
   * The instance has drained. Waits until the group has begun its terminate hook, and completes it. Resolves when that
   * is done, when the group waits for nothing, or when `signal` is aborted.
   */
  drained: (signal: AbortSignal) => Promise<void>
}

export type LifecycleOptions = {
  fleet: NonNullable<Config['fleet']>
  metadata: Metadata
  /** Known once the metadata service has told the instance's id. */
  autoScaling: () => Promise<AutoScaling>
  /** What does not answer any instance, while this one is not ready; null: then it is this one that is not well. */
  sharedOutage: () => Promise<string | null>
  /** Told once that the instance has to go. */
  leave: (reason: LeaveReason) => void
  metrics: Pick<Metrics, 'errors'>
  log: Log
}

/** While the group is to be told something, it is tried this often. */
const RETRY_MS = 1_000

const TARGET = 'meta-data/autoscaling/target-lifecycle-state'
const SPOT = 'meta-data/spot/instance-action'

/** Target states of an instance that goes. In a warm pool, it may also only be stopped, which is none of our business. */
const isGoing = (target: string | null) => target === 'Terminated' || target === 'Warmed:Terminated'

/** States of an instance that the group no longer waits for: another has completed the hook, or it has run out. */
const isOver = (state: string) => /^(Warmed:)?Terminat(ing:Proceed|ed)$/.test(state)

/** Target states behind a launch hook: service, or waiting for it in a warm pool, out of which there is another. */
const isComing = (target: string | null): target is string =>
  target === 'InService' || /^Warmed:(?!Terminated)/.test(target ?? '')

export function startLifecycle(options: LifecycleOptions): Lifecycle {
  const { fleet, metadata, log } = options
  /** The last target whose launch action is over. */
  let arrivedAt: string | null = null
  let isReady = false
  let leaving = false
  let wake = () => {}
  const trouble = troubleOf(options)

  /** @returns whether the group still has to be told that the launch is done. */
  async function look(): Promise<boolean> {
    const target = await metadata.get(TARGET)
    if (isGoing(target)) leave('terminating')
    else if ((await metadata.get(SPOT)) !== null) leave('spot-interruption')
    if (leaving || !isReady || !isComing(target) || target === arrivedAt) return false
    if (!(await hasArrived(options))) return true
    arrivedAt = target
    log('launch-completed', { target })
    return false
  }

  function leave(reason: LeaveReason): void {
    leaving = true
    options.leave(reason)
  }

  async function watch(): Promise<void> {
    while (!leaving) {
      let soon = true
      await trouble('lifecycle', async () => {
        soon = await look()
      })
      if (leaving) return
      await new Promise<void>((resolve) => {
        wake = resolve
        setTimeout(resolve, soon ? Math.min(RETRY_MS, fleet.pollMs) : fleet.pollMs).unref()
      })
    }
  }

  const ending = createEnding(options, trouble)
  void watch()
  void awaitOutage(options, trouble, () => isReady || leaving)
  return {
    ready: () => {
      isReady = true
      wake()
    },
    draining: () => {
      leaving = true
      wake()
      ending.draining()
    },
    drained: ending.drained,
  }
}

/** Runs a step; what it throws is counted and logged. @returns whether it went well. */
function troubleOf({ metrics, log }: LifecycleOptions) {
  return async (where: string, step: () => Promise<void>): Promise<boolean> => {
    try {
      await step()
      return true
    } catch (error) {
      metrics.errors.inc({ where })
      log(`${where}-failed`, awsErrorFields(error))
      return false
    }
  }
}

/**
 * Has the group go on with the launch. An instance that boots in seconds may be ready before the group waits for it, so
 * "no such action" is no answer until the group has it past Pending.
 */
async function hasArrived({ fleet, autoScaling }: LifecycleOptions): Promise<boolean> {
  const group = await autoScaling()
  const membership = await group.membership()
  // The metadata knows of a group, so its API will.
  if (membership === null) return false
  if (!/^(Warmed:)?Pending/.test(membership.state)) return true
  return group.complete(fleet.launchHook)
}

/**
 * Has the group wait while an outage keeps the instance from being ready: another in its place would be no better off,
 * and a rollout would take the outage for a fault of its image. Not for ever.
 */
async function awaitOutage(
  { fleet, metadata, autoScaling, sharedOutage, log }: LifecycleOptions,
  trouble: ReturnType<typeof troubleOf>,
  isOver: () => boolean,
): Promise<void> {
  const startedMs = performance.now()
  for (;;) {
    await sleep(fleet.heartbeatMs, undefined, { ref: false })
    if (isOver()) return
    if (performance.now() - startedMs > fleet.launchWaitMs) return log('launch-overdue')
    await trouble('heartbeat', async () => {
      if (!isComing(await metadata.get(TARGET))) return
      const outage = await sharedOutage()
      if (outage === null || isOver()) return
      const group = await autoScaling()
      log('heartbeat', { outage, waiting: await group.heartbeat(fleet.launchHook) })
    })
  }
}

function createEnding(options: LifecycleOptions, trouble: ReturnType<typeof troubleOf>) {
  const { fleet, metadata, autoScaling, log } = options
  let done = false

  async function beat(): Promise<void> {
    while (!done) {
      await sleep(fleet.heartbeatMs, undefined, { ref: false })
      if (done) return
      await trouble('heartbeat', async () => {
        if (!isGoing(await metadata.get(TARGET))) return
        const group = await autoScaling()
        log('heartbeat', { waiting: await group.heartbeat(fleet.terminateHook) })
      })
    }
  }

  /**
   * AWS first deregisters the instance from the load balancer, which takes minutes, and only then begins the hook: until
   * then there is no action to complete (Amazon EC2 Auto Scaling user guide, "How lifecycle hooks work").
   * @returns whether there is nothing more to wait for.
   */
  async function letGo(): Promise<boolean> {
    if (!isGoing(await metadata.get(TARGET))) return true
    const group = await autoScaling()
    if (await group.complete(fleet.terminateHook)) {
      log('termination-completed')
      return true
    }
    const membership = await group.membership()
    if (membership !== null && !isOver(membership.state)) return false
    log('termination-over', { state: membership?.state ?? null })
    return true
  }

  return {
    draining: () => void beat(),
    drained: async (signal: AbortSignal) => {
      while (!signal.aborted) {
        let over = false
        const answered = await trouble('termination', async () => {
          over = await letGo()
        })
        done ||= over
        if (over) return
        // Deregistration takes minutes, and the group's API allows few calls a second for the whole account.
        const pauseMs = answered ? fleet.pollMs : RETRY_MS
        await sleep(pauseMs, undefined, { signal }).catch(() => {})
      }
      done = true
      log('termination-not-awaited')
    },
  }
}
