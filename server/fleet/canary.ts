// The canary's round trip: over SMTP to the instance's own listener, into the shared queue, and out of it
// again. Owns: sending canaries until one has returned. It never throws; `problem` and the log name each
// failure.
// A new instance must not wait behind the backlog of a storm. So the round trip also succeeds once its own
// forwarder has taken any entry off the queue. If the queue is full, no canary is stored, and only such an
// entry ends the wait.
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
  /** Why no canary has come back yet; null once one has. */
  problem: () => string | null
  /** Resolves when a canary is back; never if the process is told to stop first. */
  back: Promise<void>
}

/** Timeout of each step of the session, over loopback. */
const STEP_MS = 10_000

/** Timeout from enqueue to removal. Then another canary is sent, since the first may have been lost with a lease. */
const ROUND_TRIP_MS = 60_000

/** Pauses between two checks and between two canaries; each doubles. */
const FIRST_PAUSE_MS = 50
const MOST_PAUSE_MS = 2_000

/** 452 with 4.3.1 (RFC 3463): the queue is full. */
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
        await waitForReturn(id, options)
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

/** Waits until the canary, or any entry, has left the queue. @throws if that takes too long. */
async function waitForReturn(id: string | null, { queue, hasSettled, signal }: CanaryOptions): Promise<void> {
  const deadlineMs = performance.now() + ROUND_TRIP_MS
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MOST_PAUSE_MS)) {
    if (hasSettled() || (id !== null && (await queue.settled(id)))) return
    signal.throwIfAborted()
    if (performance.now() > deadlineMs)
      throw new Error(`nothing has left the queue within ${ROUND_TRIP_MS / 1_000} s`)
    await sleep(pauseMs, undefined, { ref: false })
  }
}

/**
 * @returns the queue's id of the canary; null when the queue is full
 * @throws {Error} when the canary was not accepted
 */
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
  const { smtp } = await connections.open(ownAddress(listener.address))
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

/** The address for connecting to the own listener; a wildcard address becomes loopback. */
function ownAddress(address: Listener['address']) {
  if (!('port' in address)) throw new Error('the inherited socket has no port to connect to')
  const { host, port } = address
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return { name: reached, address: reached, port }
}
