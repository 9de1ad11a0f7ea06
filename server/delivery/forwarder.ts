// The forwarder: takes due entries off the shared queue and has them delivered, a bounded number at a time.
// Owns: slots, polling, and stopping. Leases no more than it has slots for, so that work spreads over instances. Trouble with the queue makes it wait; the loop never ends by an error.
import { setTimeout as sleep } from 'node:timers/promises'
import { awsErrorFields } from '../aws/errors.ts'
import { errorFields } from '../log.ts'
import type { Lease } from '../queue/entry.ts'
import type { Queue } from '../queue/queue.ts'
import { keepLease } from './lease-keeper.ts'
import { deliverLease, type DeliverLeaseOptions } from './deliver-lease.ts'

export type Forwarder = {
  /** There is new work: look at once. */
  wake: () => void
  /** Whether any entry has been taken off the queue and its outcome stored since the start. */
  hasSettled: () => boolean
  /** Takes no more work and resolves when what is in progress has ended, at the latest after `timeoutMs`. */
  stop: (timeoutMs: number) => Promise<void>
}

export type ForwarderOptions = DeliverLeaseOptions & {
  queue: Queue
  /** Entries being delivered at once. */
  concurrency: number
  leaseMs: number
  /** How often the queue is looked at when it was empty; other instances may have put something in. */
  pollMs: number
}

/** All slots are taken: the bell rings when one comes free, this is only in case. */
const SLOTS_MS = 1_000

/** Pause after the queue would not answer: long enough not to fill the log, short beside any retry. */
const LEASE_RETRY_MS = 1_000

export function startForwarder(options: ForwarderOptions): Forwarder {
  const { concurrency, pollMs, log, queue } = options
  const working = new Map<Lease, Promise<void>>()
  const wakeUp = createWakeUp()
  let stopping = false
  let settled = false

  async function loop(): Promise<void> {
    while (!stopping) {
      wakeUp.reset()
      const free = concurrency - working.size
      const leases = free === 0 ? [] : await leaseUpTo(free, options)
      if (stopping) await releaseAll(leases ?? [], options)
      else if (leases === null) await sleep(LEASE_RETRY_MS)
      else {
        for (const lease of leases) begin(lease)
        // Whoever queues something, or a slot that comes free, rings the bell.
        if (free === 0) await wakeUp.wait(SLOTS_MS)
        // A full batch: there may be more. A queue that waits for work by itself has said that there is none.
        else if (leases.length < free && !queue.waits) await wakeUp.wait(pollMs)
      }
    }
  }

  function begin(lease: Lease): void {
    options.metrics.deliveriesInProgress.inc()
    const hold = keepLease(lease, options)
    const work = deliverLease(lease, hold, options).then((known) => {
      settled ||= known
      hold.end()
      working.delete(lease)
      options.metrics.deliveriesInProgress.dec()
      wakeUp.ring()
    })
    working.set(lease, work)
  }

  const ended = loop()
  return {
    wake: () => wakeUp.ring(),
    hasSettled: () => settled,
    stop: async (timeoutMs) => {
      stopping = true
      wakeUp.ring()
      const all = ended.then(() => Promise.all(working.values()))
      await Promise.race([all, sleep(timeoutMs, null, { ref: false })])
      // Whoever is cut may have handed over its message already: the lease runs out before anyone tries again.
      if (working.size > 0) log('deliveries-cut', { count: working.size })
    },
  }
}

/** A wait that can be cut short; a ring while nobody waits is kept for the next wait. */
function createWakeUp() {
  let rung = false
  let wake = () => {}
  return {
    reset: () => {
      rung = false
    },
    ring: () => {
      rung = true
      wake()
    },
    wait: (ms: number): Promise<void> =>
      new Promise((resolve) => {
        if (rung) return resolve()
        const timer = setTimeout(resolve, ms)
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      }),
  }
}

/** Up to `max` leases; null when the queue could not be asked. */
async function leaseUpTo(
  max: number,
  { queue, leaseMs, metrics, log }: ForwarderOptions,
): Promise<Lease[] | null> {
  try {
    return await queue.lease(max, leaseMs)
  } catch (error) {
    metrics.errors.inc({ where: 'lease' })
    log('lease-failed', awsErrorFields(error))
    return null
  }
}

/** Leases that came while stopping: due again at once, for the others. */
async function releaseAll(leases: readonly Lease[], { queue, log }: ForwarderOptions): Promise<void> {
  try {
    await Promise.all(leases.map((lease) => queue.release(lease)))
  } catch (error) {
    log('release-failed', errorFields(error))
  }
}
