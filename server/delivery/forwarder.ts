// The forwarder leases due entries from the shared queue and delivers a limited number at a time. Owns: slots, polling,
// and stopping. It leases no more than its free slots, so that work spreads over instances. When the queue fails it waits;
// the loop never ends by an error.
import { setTimeout as sleep } from 'node:timers/promises'
import { awsErrorFields } from '../aws/errors.ts'
import { errorFields } from '../log.ts'
import type { Lease } from '../queue/entry.ts'
import type { Queue } from '../queue/queue.ts'
import { keepLease } from './lease-keeper.ts'
import { deliverLease, type DeliverLeaseOptions } from './deliver-lease.ts'

export type Forwarder = {
  /** New work: ends the wait for the next poll. */
  wake: () => void
  /** Whether the queue has stored any settlement since the start. */
  hasSettled: () => boolean
  /** Leases nothing more. Resolves when the running deliveries have ended, or after `timeoutMs`. */
  stop: (timeoutMs: number) => Promise<void>
}

export type ForwarderOptions = DeliverLeaseOptions & {
  queue: Queue
  /** Most entries delivered at once. */
  concurrency: number
  leaseMs: number
  /** How often to poll an empty queue; other instances may have enqueued mail. */
  pollMs: number
}

/** Poll interval while all slots are taken. A free slot wakes the loop, so this is only a safety net. */
const SLOTS_MS = 1_000

/** Pause after a failed call to the queue: long enough to spare the log, short compared to any retry. */
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
        // An enqueue or a free slot wakes the loop.
        if (free === 0) await wakeUp.wait(SLOTS_MS)
        // After a full batch there may be more entries. A queue with long polling has already waited for work.
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
      // The host may have taken the message of a delivery that is cut. Its lease must expire before another attempt.
      if (working.size > 0) log('deliveries-cut', { count: working.size })
    },
  }
}

/** A wait that can be cut short. A wake-up without a waiter is kept for the next wait. */
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

/** Up to `max` leases; null when the queue failed. */
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

/** Releases leases that arrived during the stop, so that other instances get them at once. */
async function releaseAll(leases: readonly Lease[], { queue, log }: ForwarderOptions): Promise<void> {
  try {
    await Promise.all(leases.map((lease) => queue.release(lease)))
  } catch (error) {
    log('release-failed', errorFields(error))
  }
}
