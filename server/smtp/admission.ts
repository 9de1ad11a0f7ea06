// Admits connections and messages within the limits on connections, backlog, queue and memory. Owns: these decisions,
// as pure functions, and the snapshot of the queue's statistics that they use.
// At a limit the server answers 4xx before DATA. While the statistics are unavailable it answers 451, never 5xx.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/schema.ts'
import type { QueueStats } from '../queue/entry.ts'
import type { Queue } from '../queue/queue.ts'
import { refusals, type SmtpRefusal } from './refusal.ts'

export type AdmissionLimits = Config['limits']

/** Admits a connection, or returns the refusal. The counts include the new connection. */
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
 * The key under which a client's connections are counted: its IPv4 address, or the /64 of its IPv6 address. A host may
 * use any address of its /64 (RFC 4291 section 2.5.4).
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
  /** Statistics of the shared queue from the last poll; null when the poll failed. */
  stats: QueueStats | null
  /** Messages accepted by this process since that poll, and their bytes. */
  acceptedSince: number
  acceptedBytesSince: number
  /** Bytes of the messages that are being received. */
  bufferedBytes: number
}

/** Admits a message, or returns the refusal. `sizeBytes` is 0 when the client announced no size. */
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

/** Longest wait for the first poll. Until the queue answers, mail gets a 451. */
const FIRST_POLL_MS = 1_000

/**
 * Polls the queue's statistics every `statsMs`. Resolves after the first poll, or after a second. Calls `onError` when
 * a poll fails. The statistics may miss messages that were accepted during a poll, so those are still counted on top.
 */
export async function startLoadMonitor(
  queue: Pick<Queue, 'stats' | 'statsMs'>,
  onError: (error: unknown) => void,
): Promise<LoadMonitor> {
  const load: ServerLoad = { stats: null, acceptedSince: 0, acceptedBytesSince: 0, bufferedBytes: 0 }
  let polling = false

  async function poll(): Promise<void> {
    if (polling) return
    polling = true
    const { acceptedSince, acceptedBytesSince } = load
    try {
      load.stats = await queue.stats()
    } catch (error) {
      load.stats = null
      onError(error)
    }
    load.acceptedSince -= acceptedSince
    load.acceptedBytesSince -= acceptedBytesSince
    polling = false
  }

  const first = poll()
  await Promise.race([first, sleep(FIRST_POLL_MS, undefined, { ref: false })])
  const timer = setInterval(() => void poll(), queue.statsMs)
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
