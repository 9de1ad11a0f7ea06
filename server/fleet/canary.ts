// The canary's round trip: a real SMTP session with the own listener, a message into the shared queue, and out of it
// again. Owns: sending until one has come back. It never fails: what goes wrong is said in the log, and by `problem`.
// A new instance in a storm must not wait behind the backlog. So the way out counts as proved, too, once the own
// forwarder has taken any entry off the queue; and a queue that is full has at least been asked.
import { setTimeout as sleep } from 'node:timers/promises'
import { createConnections } from '../delivery/connection-pool.ts'
import { awsErrorFields } from '../aws/errors.ts'
import type { Log } from '../log.ts'
import type { Queue } from '../queue/queue.ts'
import type { CanaryGate } from '../smtp/canary.ts'
import type { Listener } from '../smtp/listener.ts'
import type { Metrics } from '../metrics.ts'

type CanaryOptions = {
  /** Our name in EHLO. */
  hostname: string
  listener: Pick<Listener, 'address'>
  gate: Pick<CanaryGate, 'issue'>
  queue: Pick<Queue, 'settled'>
  /** Whether the own forwarder has taken any entry off the queue. */
  hasSettled: () => boolean
  metrics: Pick<Metrics, 'errors'>
  log: Log
  signal: AbortSignal
}

export type Canary = {
  /** Why it is not back yet; null once it is. */
  problem: () => string | null
  /** Resolves when it is; never, if the process is told to stop first. */
  back: Promise<void>
}

/** For each step of the session, over loopback. */
const STEP_MS = 10_000

/** From the queue's yes to having been taken off it. Then another is sent: the first may have been lost with a lease. */
const ROUND_TRIP_MS = 60_000

/** Doubling, between two looks and between two canaries. */
const FIRST_PAUSE_MS = 50
const MOST_PAUSE_MS = 2_000

/** RFC 3463, 4.3.1 with 452: the queue takes no more. */
const FULL = 452

export function startCanary(options: CanaryOptions): Canary {
  const { signal, metrics, log } = options
  let problem: string | null = 'canary not sent yet'
  const back = Promise.withResolvers<void>()

  async function run(): Promise<void> {
    const startedMs = performance.now()
    for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; pauseMs = Math.min(2 * pauseMs, MOST_PAUSE_MS)) {
      try {
        const id = await send(options)
        problem = 'canary not back yet'
        await comeBack(id, options)
        problem = null
        log('canary-back', { id, tookMs: Math.round(performance.now() - startedMs) })
        return back.resolve()
      } catch (error) {
        if (signal.aborted) return
        const fields = awsErrorFields(error)
        problem = `canary not back: ${String(fields['error'])}`
        metrics.errors.inc({ where: 'canary' })
        log('canary-failed', fields)
      }
      await sleep(pauseMs, undefined, { ref: false })
    }
  }

  void run()
  return { problem: () => problem, back: back.promise }
}

/** Waits until the canary, or anything else, has been taken off the queue. @throws if that takes too long. */
async function comeBack(id: string | null, { queue, hasSettled, signal }: CanaryOptions): Promise<void> {
  const deadlineMs = performance.now() + ROUND_TRIP_MS
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MOST_PAUSE_MS)) {
    if (hasSettled() || (id !== null && (await queue.settled(id)))) return
    signal.throwIfAborted()
    if (performance.now() > deadlineMs)
      throw new Error(`nothing has left the queue within ${ROUND_TRIP_MS / 1_000} s`)
    await sleep(pauseMs, undefined, { ref: false })
  }
}

/** @returns the queue's id of the canary; null when the queue is full. @throws {Error} when it was not taken. */
async function send({ hostname, listener, gate }: CanaryOptions): Promise<string | null> {
  const connections = createConnections({
    hostname,
    connectMs: STEP_MS,
    greetingMs: STEP_MS,
    socketMs: STEP_MS,
    idleMs: 0,
    messagesPerConnection: 1,
    maxIdle: 0,
  })
  const { smtp } = await connections.open(ownHop(listener.address))
  const address = gate.issue()
  const message = `From: <${address}>\r\nTo: <${address}>\r\nSubject: canary\r\n\r\nAre you ready?\r\n`
  try {
    return await new Promise<string | null>((resolve, reject) => {
      smtp.once('end', () => reject(new Error('the listener hung up')))
      smtp.send({ from: address, to: [address] }, message, (error, info) => {
        if (error !== null) {
          if ((error as { responseCode?: number }).responseCode === FULL) resolve(null)
          else reject(error)
          return
        }
        const id = /queued as (\S+)/.exec(info.response)?.[1]
        if (id === undefined) reject(new Error(`no id in the reply: ${info.response}`))
        else resolve(id)
      })
    })
  } finally {
    smtp.quit()
  }
}

/** How this host reaches its own listener: any address stands for loopback. */
function ownHop(address: Listener['address']) {
  if (!('port' in address)) throw new Error('the inherited socket has no port to connect to')
  const { host, port } = address
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return { name: reached, address: reached, port }
}
