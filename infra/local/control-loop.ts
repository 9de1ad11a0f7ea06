// The control loop: each period scrapes the instances, decides and records.
// Owns: the timing. scaling/capacity.ts decides, and the fleet acts. A period without a response is missing data and
// changes nothing. A late period delays the next one; periods never overlap.
import { setTimeout as sleep } from 'node:timers/promises'
import { decideCapacity, initialState } from '../scaling/capacity.ts'
import { demandOf } from '../scaling/demand.ts'
import type { ScalingPolicy } from '../scaling/policy.ts'
import type { FleetRow, ScaleEvent } from './fleet-events.ts'
import { emptyMemory, observe, type Scrape } from './observation.ts'

/** Instances by state. The decision's `pending` is launching plus warming. */
export type InstanceCounts = { launching: number; warming: number; warm: number; terminating: number }

export type ControlLoopOptions = {
  policy: ScalingPolicy
  periodMs: number
  desired: number
  /** The fleet's monotonic clock: ms since it started. */
  nowMs: () => number
  /** Scrapes all living instances, within its own timeout. */
  scrape: () => Promise<Scrape[]>
  instanceCounts: () => InstanceCounts
  onRow: (row: FleetRow) => void
  /** Called when the desired capacity changes. */
  onScale: (event: ScaleEvent) => void
}

export type ControlLoop = { stop: () => Promise<void> }

/** Starts the loop. The first period ends after `periodMs`. */
export function startControlLoop(options: ControlLoopOptions): ControlLoop {
  const stopping = new AbortController()
  const ended = run(options, stopping.signal)
  return {
    stop: async () => {
      stopping.abort()
      await ended
    },
  }
}

async function run(options: ControlLoopOptions, signal: AbortSignal): Promise<void> {
  const { policy, periodMs, nowMs } = options
  let state = initialState(options.desired)
  let memory = emptyMemory
  let lastMs = nowMs()
  let nextMs = lastMs + periodMs
  while (await waited(Math.max(0, nextMs - nowMs()), signal)) {
    const scrapes = await options.scrape()
    if (signal.aborted) return
    const atMs = nowMs()
    const seen = observe(scrapes, memory, policy.refusedWindowMs, atMs)
    memory = seen.memory
    const { refusedForFault } = seen
    const { launching, warming, warm, terminating } = options.instanceCounts()
    const demand = seen.queue && { ...seen.queue, refusedForLoad: seen.refusedForLoad }
    const decision = decideCapacity(
      state,
      { demand, refusedForFault, warm, pending: launching + warming },
      policy,
      atMs,
    )
    const { desired: from } = state
    state = decision.state
    options.onRow({
      tMs: atMs,
      ready: seen.queue?.ready ?? null,
      inFlight: seen.queue?.inFlight ?? null,
      deferred: seen.queue?.deferred ?? null,
      oldestReadySeconds: seen.queue?.oldestReadySeconds ?? null,
      refusedForLoad: seen.refusedForLoad,
      refusedForFault,
      demand: demand ? demandOf(demand) : null,
      acceptedPerSecond: (seen.accepted * 1000) / Math.max(1, atMs - lastMs),
      desired: decision.desired,
      inService: warming + warm,
      pending: launching,
      terminating,
    })
    if (decision.desired !== from) {
      options.onScale({ atMs, from, to: decision.desired, rule: decision.rule, reason: decision.reason })
    }
    lastMs = atMs
    nextMs = Math.max(nextMs + periodMs, atMs)
  }
}

/** @returns false when the loop must stop */
async function waited(delayMs: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(delayMs, undefined, { signal })
    return true
  } catch {
    return false
  }
}
