// The hold on one leased entry while it is being delivered. Owns: extending the lease, noticing that it is lost, and
// saying so once. Whether the lease still runs is read from the queue's monotonic clock, so a process that stood still
// knows before it asks the storage. Fails by `isLost`, never by throwing.
import type { Metrics } from '../metrics.ts'
import { errorFields, type Log } from '../log.ts'
import type { Lease } from '../queue/entry.ts'
import type { Queue } from '../queue/queue.ts'

/** The right to go on sending. */
export type LeaseGuard = {
  /** Aborted when the lease is found to be lost. */
  signal: AbortSignal
  /** Whether the lease is lost, or has run out by the monotonic clock. */
  isLost: () => boolean
}

export type LeaseKeeper = LeaseGuard & {
  /** The queue has refused a change: the lease is lost. Logged the first time only. */
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

/** Extends `lease` every third of `leaseMs` until it is ended or lost. */
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
    // A commit that takes longer than a tick is not asked for twice.
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
