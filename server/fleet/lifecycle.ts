// An instance's lifecycle in its Auto Scaling group. It reports when the launch is complete and watches for the end. It
// keeps the group waiting during an outage or a drain, and reports when the drain is complete.
// Owns: the watch on the instance's metadata. Failures of the group's API delay neither serving nor the drain; they are
// logged, counted and retried.
// Source: Amazon EC2 Auto Scaling user guide, "Retrieve the target lifecycle state through instance metadata"; Amazon EC2
// user guide, "Spot Instance interruption notices".
import { setTimeout as sleep } from 'node:timers/promises'
import { awsErrorFields } from '../aws/errors.ts'
import type { Config } from '../config/schema.ts'
import type { Log } from '../log.ts'
import type { AutoScaling } from './auto-scaling.ts'
import type { LeaveReason } from './drain.ts'
import type { Metadata } from './metadata.ts'
import type { Metrics } from '../metrics.ts'

export type Lifecycle = {
  /** The instance is ready: checks the metadata now. */
  ready: () => void
  /** The instance drains. If the group waits for the terminate hook, heartbeats keep it waiting. */
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
  /** Available once the metadata service has given the instance's id. */
  autoScaling: () => Promise<AutoScaling>
  /** Which shared service is down while this instance is not ready; null when the cause is this instance. */
  sharedOutage: () => Promise<string | null>
  /** Called once, when the instance must go. */
  leave: (reason: LeaveReason) => void
  metrics: Pick<Metrics, 'errors'>
  log: Log
}

/** Pause between tries while the group waits for a report. */
const RETRY_MS = 1_000

const TARGET = 'meta-data/autoscaling/target-lifecycle-state'
const SPOT = 'meta-data/spot/instance-action'

/** Target states of an instance that terminates. In a warm pool it may also be stopped only, which needs no drain. */
const isTerminating = (target: string | null) => target === 'Terminated' || target === 'Warmed:Terminated'

/** States in which the group no longer waits: the hook was completed elsewhere, or has timed out. */
const isOver = (state: string) => /^(Warmed:)?Terminat(ing:Proceed|ed)$/.test(state)

/** Target states after a launch hook: in service, or in a warm pool, which has a launch hook of its own. */
const isLaunching = (target: string | null): target is string =>
  target === 'InService' || /^Warmed:(?!Terminated)/.test(target ?? '')

export function startLifecycle(options: LifecycleOptions): Lifecycle {
  const { fleet, metadata, log } = options
  /** The last target whose launch action is complete. */
  let completedTarget: string | null = null
  let isReady = false
  let leaving = false
  let wake = () => {}
  const runStep = stepRunner(options)

  /** @returns whether the group must still be told that the launch is complete */
  async function look(): Promise<boolean> {
    const target = await metadata.get(TARGET)
    if (isTerminating(target)) leave('terminating')
    else if ((await metadata.get(SPOT)) !== null) leave('spot-interruption')
    if (leaving || !isReady || !isLaunching(target) || target === completedTarget) return false
    if (!(await completeLaunch(options))) return true
    completedTarget = target
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
      await runStep('lifecycle', async () => {
        soon = await look()
      })
      if (leaving) return
      await new Promise<void>((resolve) => {
        wake = resolve
        setTimeout(resolve, soon ? Math.min(RETRY_MS, fleet.pollMs) : fleet.pollMs).unref()
      })
    }
  }

  const termination = createTermination(options, runStep)
  void watch()
  void awaitOutage(options, runStep, () => isReady || leaving)
  return {
    ready: () => {
      isReady = true
      wake()
    },
    draining: () => {
      leaving = true
      wake()
      termination.draining()
    },
    drained: termination.drained,
  }
}

/** Runs a step. Logs and counts its error. @returns whether it succeeded. */
function stepRunner({ metrics, log }: LifecycleOptions) {
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
 * Completes the launch action. An instance that boots in seconds may be ready before the group waits for it. So "no
 * such action" counts as complete only once the group's state is past Pending.
 */
async function completeLaunch({ fleet, autoScaling }: LifecycleOptions): Promise<boolean> {
  const group = await autoScaling()
  const membership = await group.membership()
  // The metadata already names a group, so its API will too.
  if (membership === null) return false
  if (!/^(Warmed:)?Pending/.test(membership.state)) return true
  return group.complete(fleet.launchHook)
}

/**
 * Keeps the group waiting while a shared outage keeps the instance from being ready. A replacement would not be ready
 * either, and a rollout would blame its image. Ends after `launchWaitMs`.
 */
async function awaitOutage(
  { fleet, metadata, autoScaling, sharedOutage, log }: LifecycleOptions,
  runStep: ReturnType<typeof stepRunner>,
  isOver: () => boolean,
): Promise<void> {
  const startedMs = performance.now()
  for (;;) {
    await sleep(fleet.heartbeatMs, undefined, { ref: false })
    if (isOver()) return
    if (performance.now() - startedMs > fleet.launchWaitMs) return log('launch-overdue')
    await runStep('heartbeat', async () => {
      if (!isLaunching(await metadata.get(TARGET))) return
      const outage = await sharedOutage()
      if (outage === null || isOver()) return
      const group = await autoScaling()
      log('heartbeat', { outage, waiting: await group.heartbeat(fleet.launchHook) })
    })
  }
}

function createTermination(options: LifecycleOptions, runStep: ReturnType<typeof stepRunner>) {
  const { fleet, metadata, autoScaling, log } = options
  let done = false

  async function sendHeartbeats(): Promise<void> {
    while (!done) {
      await sleep(fleet.heartbeatMs, undefined, { ref: false })
      if (done) return
      await runStep('heartbeat', async () => {
        if (!isTerminating(await metadata.get(TARGET))) return
        const group = await autoScaling()
        log('heartbeat', { waiting: await group.heartbeat(fleet.terminateHook) })
      })
    }
  }

  /**
   * Completes the terminate hook. AWS first deregisters the instance from the load balancer, which takes minutes, and
   * only then begins the hook. Until then there is no action to complete (Amazon EC2 Auto Scaling user guide, "How
   * lifecycle hooks work").
   * @returns whether there is nothing more to wait for
   */
  async function completeTermination(): Promise<boolean> {
    if (!isTerminating(await metadata.get(TARGET))) return true
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
    draining: () => void sendHeartbeats(),
    drained: async (signal: AbortSignal) => {
      while (!signal.aborted) {
        let over = false
        const answered = await runStep('termination', async () => {
          over = await completeTermination()
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
