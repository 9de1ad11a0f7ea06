// The group: keeps as many instances as are desired, and replaces what crashes.
// Owns: which instance goes (the newest: the one with the longest proven life stays, and what is still launching goes
// before what serves), and the back-off of launches that never got into service, so that a broken image costs a launch
// every half minute and not a busy loop. An instance that served is replaced at once. Never throws; an instance that fails is a Terminated view with its cause.
import type { Instance, InstanceView } from './instance.ts'

/** The second failure in a row waits half a second, then doubling: 0.5 + 1 + … + 16 s, then every 30 s. */
const BACKOFF_FIRST_MS = 500
const BACKOFF_MAX_MS = 30_000
/** With no instance in service nobody takes mail: a launch every two seconds costs less. */
const BACKOFF_NONE_SERVING_MS = 2_000
/** Views of gone instances that are kept for a report. */
const MAX_GONE = 500

export type GroupOptions = {
  launch: (id: string, onState: (view: InstanceView) => void) => Instance
  /** Hears of every change of state of every instance. */
  onInstance: (view: InstanceView) => void
}

export type Group = {
  setDesired: (desired: number) => void
  /** Living instances, oldest first. */
  living: () => Instance[]
  /** All of them, gone ones too (the last {@link MAX_GONE}), oldest first. */
  views: () => InstanceView[]
  /** Kills one that hangs; a replacement is launched at once. */
  kill: (id: string, cause: string) => void
  /** Drains all and launches nothing more; ends when the last is gone. */
  stop: () => Promise<void>
}

/** How long to wait before the next launch, after so many failed ones in a row. */
export function backoffMs(failures: number, anyServing: boolean): number {
  if (failures < 2) return 0
  const most = anyServing ? BACKOFF_MAX_MS : BACKOFF_NONE_SERVING_MS
  return Math.min(most, BACKOFF_FIRST_MS * 2 ** (failures - 2))
}

export function createGroup({ launch, onInstance }: GroupOptions): Group {
  const instances = new Map<string, Instance>()
  const gone: InstanceView[] = []
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
    // A launch that fails on the spot, and each drain, comes back here through onState.
    reconciling = true
    for (const instance of leaving(staying(), desired)) instance.drain('scale-in')
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
      gone.push(view)
      if (gone.length > MAX_GONE) gone.shift()
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
    views: () => [...gone, ...living().map((instance) => instance.view())].sort(byLaunch),
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

/** Counts launches in a row that ended before they were in service. */
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
    waitMs: () => failedAtMs + backoffMs(failures, anyServing()) - performance.now(),
  }
}

/** The disk is full, say: an instance that never was a process. */
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

/** Counted against the desired number: a draining instance is on its way out. */
function isStaying({ state }: InstanceView): boolean {
  return state === 'Pending' || state === 'InService'
}

/** Those too many: pending before serving, newest before oldest. */
function leaving(staying: Instance[], desired: number): Instance[] {
  const rank = (instance: Instance) => (instance.view().state === 'Pending' ? 1 : 0)
  const newestFirst = [...staying].sort((a, b) => rank(b) - rank(a) || byLaunch(b.view(), a.view()))
  return newestFirst.slice(0, Math.max(0, staying.length - desired))
}

/** Ids are serial numbers; two launches may share a millisecond. */
function byLaunch(a: InstanceView, b: InstanceView): number {
  return a.launchedAtMs - b.launchedAtMs || a.id.localeCompare(b.id)
}
