// Keeps the lease of an entry during its delivery. Owns: extending it, and reporting once that it is lost. It checks the
// lease by the queue's monotonic clock, so a process that was stopped knows before it asks the storage. Never throws; a
// lost lease shows in `isLost`.
import type { Metrics } from '../metrics.ts'
import { errorFields, type Log } from '../log.ts'
import type { Lease } from '../queue/entry.ts'
import type { Queue } from '../queue/queue.ts'

/** Tells a delivery whether it may go on. */
export type LeaseGuard = {
  /** Aborted when the lease is lost. */
  signal: AbortSignal
  /** Whether the lease is lost, or has expired by the monotonic clock. */
  isLost: () => boolean
}

export type LeaseKeeper = LeaseGuard & {
  /** Call when the queue refused a change, because the lease is lost. Logs the first call only. */
  lose: () => void
  /** Stops extending. */
  end: () => void
}

export type LeaseKeeperOptions = {
  queue: Pick<Queue, 'extend' | 'holds'>
  leaseMs: number
  metrics: Pick<Metrics, 'errors'>
  log: Log
}

/** Extends `lease` every third of `leaseMs`, until `end` is called or the lease is lost. */
export function keepLease(lease: Lease, { queue, leaseMs, metrics, log }: LeaseKeeperOptions): LeaseKeeper {
  const aborting = new AbortController()
  const { signal } = aborting
  const { id } = lease.entry
  let extending = false

  function lose(): void {
    if (signal.aborted) return
    clearInterval(timer)
    log('lease-lost', { id })
    aborting.abort()
  }

  async function extend(): Promise<void> {
    // Send no second extension while one is in progress.
    if (extending) return void (queue.holds(lease) || lose())
    extending = true
    try {
      if (!(await queue.extend(lease, leaseMs))) lose()
    } catch (error) {
      metrics.errors.inc({ where: 'extend' })
      log('extend-failed', { id, ...errorFields(error) })
      if (!queue.holds(lease)) lose()
    }
    extending = false
  }

  const timer = setInterval(() => void extend(), leaseMs / 3)
  return {
    signal,
    isLost: () => signal.aborted || !queue.holds(lease),
    lose,
    end: () => clearInterval(timer),
  }
}
