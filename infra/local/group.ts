// Keeps the desired number of instances: launches, drains and replaces them.
// Scale-in ends pending instances first, then the newest: the longest-running instance stays. Launches that fail before
// they are in service back off; an instance that was in service is replaced at once. Never throws: a failed instance is
// a Terminated view with its cause.
import type { Instance, InstanceView } from './instance.ts'

/** The second failure in a row waits 0.5 s, then the delay doubles: 0.5, 1, … 16 s, then every 30 s. */
const BACKOFF_FIRST_MS = 500
const BACKOFF_MAX_MS = 30_000
/** Without an instance in service the fleet accepts no mail. A launch every 2 s is the lesser cost. */
const BACKOFF_NONE_SERVING_MS = 2_000
/** How many views of terminated instances are kept for reports. */
const MAX_TERMINATED = 500

export type GroupOptions = {
  launch: (id: string, onState: (view: InstanceView) => void) => Instance
  /** Called at each change of an instance's state. */
  onInstance: (view: InstanceView) => void
}

export type Group = {
  setDesired: (desired: number) => void
  /** Living instances, oldest first. */
  living: () => Instance[]
  /** All instances, also terminated ones (the last {@link MAX_TERMINATED}), oldest first. */
  views: () => InstanceView[]
  /** Kills a hanging instance. Its replacement is launched at once. */
  kill: (id: string, cause: string) => void
  /** Drains all instances and launches no more. Resolves when the last has terminated. */
  stop: () => Promise<void>
}

/** Delay before the next launch, after so many failures in a row. */
export function launchBackOffMs(failures: number, anyServing: boolean): number {
  if (failures < 2) return 0
  const most = anyServing ? BACKOFF_MAX_MS : BACKOFF_NONE_SERVING_MS
  return Math.min(most, BACKOFF_FIRST_MS * 2 ** (failures - 2))
}

export function createGroup({ launch, onInstance }: GroupOptions): Group {
  const instances = new Map<string, Instance>()
  const terminated: InstanceView[] = []
  let desired = 0
  let launched = 0
  let stopped = false
  let reconciling = false
  let timer: NodeJS.Timeout | undefined
  const living = () => [...instances.values()]
  const backoff = createBackoff(() => living().some((instance) => instance.view().state === 'InService'))
  const staying = () => living().filter((instance) => isStaying(instance.view()))

  function reconcile(): void {
    clearTimeout(timer)
    if (stopped || reconciling) return
    // onState calls back into this function at each drain, and when a launch fails at once.
    reconciling = true
    for (const instance of surplus(staying(), desired)) instance.drain('scale-in')
    while (staying().length < desired && backoff.waitMs() <= 0) launchOne()
    reconciling = false
    if (staying().length < desired) timer = setTimeout(reconcile, backoff.waitMs())
  }

  function launchOne(): void {
    const id = `i-${String(++launched).padStart(4, '0')}`
    const launchedAtMs = Date.now()
    try {
      instances.set(id, launch(id, onState))
    } catch (error) {
      onState(notLaunched(id, launchedAtMs, error))
    }
  }

  function onState(view: InstanceView): void {
    onInstance(view)
    if (view.state === 'Terminated') {
      instances.delete(view.id)
      terminated.push(view)
      if (terminated.length > MAX_TERMINATED) terminated.shift()
      if (view.terminatingAtMs === null && view.inServiceAtMs === null) backoff.failed()
    }
    if (view.state === 'InService') backoff.worked()
    reconcile()
  }

  return {
    setDesired: (wanted) => {
      desired = wanted
      reconcile()
    },
    living,
    views: () => [...terminated, ...living().map((instance) => instance.view())].sort(byLaunch),
    kill: (id, cause) => instances.get(id)?.kill(cause),
    stop: async () => {
      stopped = true
      clearTimeout(timer)
      await drainAll(living())
    },
  }
}

async function drainAll(instances: readonly Instance[]): Promise<void> {
  for (const instance of instances) instance.drain('fleet stopped')
  await Promise.all(instances.map(({ terminated }) => terminated))
}

/** Counts consecutive launches that ended before they were in service. */
function createBackoff(anyServing: () => boolean) {
  let failures = 0
  let failedAtMs = 0
  return {
    failed: () => {
      failures += 1
      failedAtMs = performance.now()
    },
    worked: () => {
      failures = 0
    },
    waitMs: () => failedAtMs + launchBackOffMs(failures, anyServing()) - performance.now(),
  }
}

/** The view of an instance whose process could not be started, for instance on a full disk. */
function notLaunched(id: string, launchedAtMs: number, error: unknown): InstanceView {
  return {
    id,
    state: 'Terminated',
    pid: null,
    launchedAtMs,
    inServiceAtMs: null,
    terminatingAtMs: null,
    terminatedAtMs: Date.now(),
    exitCode: null,
    exitSignal: null,
    cause: `not launched: ${error instanceof Error ? error.message : String(error)}`,
  }
}

/** Whether the instance counts towards the desired number; a draining one does not. */
function isStaying({ state }: InstanceView): boolean {
  return state === 'Pending' || state === 'InService'
}

/** The surplus instances: pending before in service, newest before oldest. */
function surplus(staying: Instance[], desired: number): Instance[] {
  const rank = (instance: Instance) => (instance.view().state === 'Pending' ? 1 : 0)
  const newestFirst = [...staying].sort((a, b) => rank(b) - rank(a) || byLaunch(b.view(), a.view()))
  return newestFirst.slice(0, Math.max(0, staying.length - desired))
}

/** Two launches may have the same millisecond; ids are serial numbers. */
function byLaunch(a: InstanceView, b: InstanceView): number {
  return a.launchedAtMs - b.launchedAtMs || a.id.localeCompare(b.id)
}
