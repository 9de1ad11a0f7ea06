// Who may talk, and when the answer is "later": the bounds on connections, backlog, queue and memory.
// Owns: the decisions, as pure functions of counts, and the snapshot of the shared queue they are made on.
// At a bound the answer is 4xx before DATA; a queue that cannot be asked is answered 451 as well, never 5xx.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/schema.ts'
import type { QueueStats } from '../queue/entry.ts'
import type { Queue } from '../queue/queue.ts'
import { refusals, type SmtpRefusal } from './refusal.ts'

export type AdmissionLimits = Config['limits']

/** May this client open another connection? Counts include the one asking. */
export function admitConnection(
  counts: { draining: boolean; connections: number; fromClient: number },
  limits: Pick<AdmissionLimits, 'connections' | 'connectionsPerClient'>,
): SmtpRefusal | null {
  if (counts.draining) return refusals.draining
  if (counts.connections > limits.connections) return refusals.tooManyConnections
  if (counts.fromClient > limits.connectionsPerClient) return refusals.tooManyFromClient
  return null
}

/**
 * Whom connections are counted against: an IPv4 address, or the /64 of an IPv6 address, which every host there may
 * pick its addresses from (RFC 4291 section 2.5.4).
 */
export function clientKey(address: string): string {
  if (!address.includes(':')) return address
  const [before = [], after] = address.split('::').map((side) => (side === '' ? [] : side.split(':')))
  const zeros = after === undefined ? 0 : Math.max(8 - before.length - after.length, 0)
  const groups = [...before, ...Array<string>(zeros).fill('0'), ...(after ?? [])]
  const network = groups.slice(0, 4).map((group) => parseInt(group, 16).toString(16))
  return `${network.join(':')}::/64`
}

export type ServerLoad = {
  /** The shared queue as last seen; null when it could not be asked. */
  stats: QueueStats | null
  /** Messages accepted here since then, and their bytes. */
  acceptedSince: number
  acceptedBytesSince: number
  /** Bytes of messages being received now. */
  bufferedBytes: number
}

/** May a message of `sizeBytes` (0: not announced) be sent now? */
export function admitMessage(
  load: ServerLoad,
  sizeBytes: number,
  limits: Pick<AdmissionLimits, 'readyEntries' | 'bufferedBytes'>,
  queue: { maxEntries: number; maxBytes: number },
): SmtpRefusal | null {
  const { stats, acceptedSince, acceptedBytesSince, bufferedBytes } = load
  if (stats === null) return refusals.queueDown
  if (stats.entries + acceptedSince >= queue.maxEntries) return refusals.queueFull
  if ((stats.bytes ?? 0) + acceptedBytesSince + sizeBytes > queue.maxBytes) return refusals.queueFull
  if (stats.ready + acceptedSince >= limits.readyEntries) return refusals.backlog
  if (bufferedBytes + sizeBytes > limits.bufferedBytes) return refusals.memoryFull
  return null
}

export type LoadMonitor = {
  load: ServerLoad
  accepted: (sizeBytes: number) => void
  stop: () => void
}

/** A queue that does not say for so long is one that cannot be asked: mail is answered 451 meanwhile. */
const FIRST_POLL_MS = 1_000

/**
 * Keeps a snapshot of the queue's figures, taken every `statsMs`; the first before it resolves, unless that takes more
 * than a second. `onError` hears of a failure to take it. What came in while a queue was being asked may be in its
 * answer or not: it counts on.
 */
export async function startLoadMonitor(
  queue: Pick<Queue, 'stats' | 'statsMs'>,
  onError: (error: unknown) => void,
): Promise<LoadMonitor> {
  const load: ServerLoad = { stats: null, acceptedSince: 0, acceptedBytesSince: 0, bufferedBytes: 0 }
  let looking = false

  async function look(): Promise<void> {
    if (looking) return
    looking = true
    const { acceptedSince, acceptedBytesSince } = load
    try {
      load.stats = await queue.stats()
    } catch (error) {
      load.stats = null
      onError(error)
    }
    load.acceptedSince -= acceptedSince
    load.acceptedBytesSince -= acceptedBytesSince
    looking = false
  }

  const first = look()
  await Promise.race([first, sleep(FIRST_POLL_MS, undefined, { ref: false })])
  const timer = setInterval(() => void look(), queue.statsMs)
  timer.unref()
  return {
    load,
    accepted: (sizeBytes) => {
      load.acceptedSince++
      load.acceptedBytesSince += sizeBytes
    },
    stop: () => clearInterval(timer),
  }
}
