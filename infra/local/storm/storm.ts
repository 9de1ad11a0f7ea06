// The storm: senders against a fleet against a slow sink, and the books of it.
// Owns: the course of a scenario from the first message to the last instance drained, and the report. Fails when the
// sink or the fleet cannot start, or the sink dies; what the storm does to the fleet is a figure, not a failure.
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { targetBacklog } from '../../scaling/policy.ts'
import type { FleetRow } from '../fleet-events.ts'
import { startFleet, type Fleet } from '../fleet.ts'
import type { Launcher } from '../launcher.ts'
import type { PhaseTime, StormReport, TimelineRow } from '../report.ts'
import { idleShare, readCpuTicks, type CpuTicks } from './cpu.ts'
import { createLedger, type Ledger } from './ledger.ts'
import { stormMessage } from './message.ts'
import { seededRandom } from './random.ts'
import { phaseAt, phasesMs, routesOf, serverConfigOf, type Scenario } from './scenario.ts'
import { createSenders, type Senders } from './senders.ts'
import { startSink } from './sink.ts'

export type Progress = (line: string) => void

export type StormOptions = {
  /** For the fleet: spool, logs, configuration. Fresh for every storm. */
  directory: string
  launcher: Launcher
  scenario: Scenario
  /** The directory is on a tmpfs. */
  volatile?: boolean
  progress?: Progress
  /** One row a period, as it happens. */
  onRow?: (row: TimelineRow) => void
  /** Aborted: the fleet drains and the storm rejects with the signal's reason. */
  signal?: AbortSignal
}

/** How long the fleet must have been at its minimum for the storm to be over. */
const SETTLED_PERIODS = 3
/** How often the end is looked for, and the least gap between two arrivals' batches. */
const TICK_MS = 20

/** Runs the scenario. Resolves when everything is stopped again, with the books balanced. */
export async function runStorm(options: StormOptions): Promise<StormReport> {
  const { scenario, signal, progress = () => {} } = options
  const ledger = createLedger()
  const sink = await startSink(scenario, ledger.arrived)
  try {
    const fleet = await startFleet({
      directory: options.directory,
      launcher: options.launcher,
      serverConfig: serverConfigOf(scenario, sink.port, options.volatile ?? false),
      routes: routesOf(),
      policy: scenario.policy,
      periodMs: scenario.periodMs,
      ...(signal ? { signal } : {}),
    })
    try {
      return await Promise.race([weather(fleet, ledger, options, progress), sink.failed])
    } catch (error) {
      // What was waited for ends with an AbortError; the reason is the signal's.
      signal?.throwIfAborted()
      throw error
    } finally {
      await fleet.stop()
    }
  } finally {
    await sink.stop()
  }
}

async function weather(
  fleet: Fleet,
  ledger: Ledger,
  options: StormOptions,
  progress: Progress,
): Promise<StormReport> {
  const { scenario, signal } = options
  const random = seededRandom(scenario.seed)
  const watch = watchFleet(fleet, ledger, progress, options.onRow)
  const senders = createSenders({
    host: fleet.host,
    port: fleet.port,
    settings: scenario.senders,
    random,
    ledger,
  })
  const startMs = fleet.nowMs()
  const startedAt = new Date().toISOString()
  const peak: { from?: CpuTicks; to?: CpuTicks } = {}
  try {
    const phases = await blow(
      fleet,
      scenario,
      senders,
      random,
      () => settled(fleet, scenario),
      (name) => {
        if (peak.from && !peak.to) peak.to = readCpuTicks()
        if (name === scenario.peakPhase) peak.from = readCpuTicks()
        progress(name)
      },
      signal,
    )
    await quiet(fleet, ledger, senders, scenario, signal)
    return report(fleet, ledger, scenario, watch, {
      startedAt,
      phases,
      cpuIdleAtPeak: (peak.from && idleShare(peak.from, peak.to ?? readCpuTicks())) ?? 0,
      stormSeconds: (fleet.nowMs() - startMs) / 1000,
    })
  } finally {
    await senders.stop()
    watch.stop()
  }
}

/** Sends what the phases say, at random intervals, until the last one is over and `done` says so. */
async function blow(
  fleet: Fleet,
  scenario: Scenario,
  senders: Senders,
  random: () => number,
  done: () => boolean,
  onPhase: (name: string) => void,
  signal: AbortSignal | undefined,
): Promise<PhaseTime[]> {
  const startMs = fleet.nowMs()
  const times: PhaseTime[] = []
  const lengthMs = phasesMs(scenario)
  let nextMs = 0
  let serial = 0
  for (let atMs = 0; atMs < lengthMs || (!done() && atMs < lengthMs + scenario.settleSeconds * 1000);) {
    const phase = phaseAt(scenario.phases, atMs)
    if (!phase) break
    const last = times.at(-1)
    if (last?.name !== phase.name) {
      if (last) last.toMs = startMs + atMs
      times.push({
        name: phase.name,
        perSecond: phase.perSecond,
        fromMs: startMs + atMs,
        toMs: startMs + atMs,
      })
      onPhase(phase.name)
      nextMs = Math.max(nextMs, atMs)
    }
    for (; nextMs <= atMs; nextMs += gapMs(phase.perSecond, random)) {
      serial += 1
      senders.submit(stormMessage(serial, random, scenario))
    }
    await sleep(TICK_MS, undefined, signal && { signal })
    atMs = fleet.nowMs() - startMs
  }
  const last = times.at(-1)
  if (last) last.toMs = fleet.nowMs()
  return times
}

/** Between two arrivals that know nothing of each other (a Poisson process): exponentially distributed. */
function gapMs(perSecond: number, random: () => number): number {
  return (-Math.log(1 - random()) * 1000) / perSecond
}

/** Back to the minimum, and so for some periods: the report's reader sees it stay. */
function settled({ timeline }: Fleet, { policy: { minInstances } }: Scenario): boolean {
  const last = timeline.slice(-SETTLED_PERIODS)
  return last.every(
    ({ desired, inService, pending, terminating }) =>
      desired === minInstances && inService === minInstances && pending + terminating === 0,
  )
}

/** After the last new message: until every sender is done and everything accepted has arrived, within a bound. */
async function quiet(
  fleet: Fleet,
  ledger: Ledger,
  senders: Senders,
  { senders: { retry }, periodMs, remoteLatencyMs }: Scenario,
  signal: AbortSignal | undefined,
): Promise<void> {
  // The longest wait of a sender, jitter included, then one delivery and a period for the queue's last word.
  const boundMs = retry.maxMs * (1 + retry.jitter) + remoteLatencyMs[1] + 5000
  const deadlineMs = fleet.nowMs() + boundMs
  while (fleet.nowMs() < deadlineMs && (senders.waiting() > 0 || ledger.underWay() > 0)) {
    await sleep(TICK_MS, undefined, signal && { signal })
  }
  const rows = fleet.timeline.length
  const lastRowMs = fleet.nowMs() + 3 * periodMs
  while (fleet.timeline.length < rows + 1 && fleet.nowMs() < lastRowMs)
    await sleep(TICK_MS, undefined, signal && { signal })
}

type Watch = { timeline: TimelineRow[]; maxInstances: () => number; stop: () => void }

/** Writes the timeline: the fleet's rows and, for the same period, what the ledger and the processors say. */
function watchFleet(fleet: Fleet, ledger: Ledger, progress: Progress, onRow: StormOptions['onRow']): Watch {
  const timeline: TimelineRow[] = []
  let ticks = readCpuTicks()
  let lastMs = fleet.nowMs()
  const inService = () => fleet.instances().filter(({ state }) => state === 'InService').length
  let most = inService()
  const row = (seen: FleetRow): void => {
    const now = readCpuTicks()
    const seconds = Math.max(1, seen.tMs - lastMs) / 1000
    const period = ledger.takePeriod()
    const full: TimelineRow = {
      ...seen,
      offeredPerSecond: period.attempts / seconds,
      newPerSecond: period.offered / seconds,
      acceptedPerSecond: period.accepted / seconds,
      forwardedPerSecond: period.forwarded / seconds,
      delayP50Ms: period.delayP50Ms,
      delayP99Ms: period.delayP99Ms,
      cpuIdle: idleShare(ticks, now),
    }
    ticks = now
    lastMs = seen.tMs
    timeline.push(full)
    onRow?.(full)
  }
  const scale = ({ from, to, reason }: { from: number; to: number; reason: string }) =>
    progress(`${from} → ${to} instances: ${reason}`)
  const instance = () => (most = Math.max(most, inService()))
  fleet.events.on('row', row).on('scale', scale).on('instance', instance)
  return {
    timeline,
    maxInstances: () => most,
    stop: () => void fleet.events.off('row', row).off('scale', scale).off('instance', instance),
  }
}

function report(
  fleet: Fleet,
  ledger: Ledger,
  { concurrency, remoteLatencyMs, policy }: Scenario,
  watch: Watch,
  measured: Pick<StormReport, 'startedAt' | 'phases' | 'cpuIdleAtPeak' | 'stormSeconds'>,
): StormReport {
  const instances = fleet.instances()
  const last = fleet.timeline.at(-1)
  const queued = (last?.ready ?? 0) + (last?.inFlight ?? 0) + (last?.deferred ?? 0)
  const meanLatencyMs = (remoteLatencyMs[0] + remoteLatencyMs[1]) / 2
  return {
    fleet: {
      maxInstances: watch.maxInstances(),
      finalInstances: instances.filter(({ state }) => state === 'InService').length,
      launched: instances.length,
      crashed: instances.filter(
        ({ state, terminatingAtMs }) => state === 'Terminated' && terminatingAtMs === null,
      ).length,
      capacity: {
        concurrency,
        meanLatencyMs,
        forwardsPerSecond: (concurrency * 1000) / meanLatencyMs,
        targetBacklog: targetBacklog(policy),
        refusedWindowMs: policy.refusedWindowMs,
      },
    },
    mail: ledger.summary(queued),
    scaleEvents: [...fleet.scaleEvents],
    cpus: availableParallelism(),
    timeline: watch.timeline,
    ...measured,
  }
}
