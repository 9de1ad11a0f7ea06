// The storm: senders against a fleet against a slow sink, and the books of it.
// Owns: the course of a scenario from the first message to the last instance drained, and the report. Fails when the
// sink or the fleet cannot start, or the sink dies; what the storm does to the fleet is a figure, not a failure.
import { availableParallelism } from 'node:os'
import { targetBacklog } from '../infra/scaling/policy.ts'
import { startFleet, type Fleet } from '../infra/local/fleet.ts'
import type { Launcher } from '../infra/local/launcher.ts'
import type { StormReport, TimelineRow } from './report.ts'
import { runCourse, untilQuiet } from './course.ts'
import { idleShare, readCpu, usedShare, type CpuReading } from './cpu.ts'
import { createLedger, type Ledger } from './ledger.ts'
import { seededRandom } from '../platform/seeded-random.ts'
import { routesOf, serverConfigOf, type Scenario } from './scenario.ts'
import { createSenders } from './senders.ts'
import { startSinkProcess } from './sink.ts'
import { watchFleet, type Watch } from './timeline.ts'

export type StormOptions = {
  /** For the fleet: spool, logs, configuration. Fresh for every storm. */
  directory: string
  launcher: Launcher
  scenario: Scenario
  /** The directory is on a tmpfs. */
  volatile?: boolean
  progress?: (line: string) => void
  /** One row a period, as it happens. */
  onRow?: (row: TimelineRow) => void
  /** Aborted: the fleet drains and the storm rejects with the signal's reason. */
  signal?: AbortSignal
}

/** Runs the scenario. Resolves when everything is stopped again, with the books balanced. */
export async function runStorm(options: StormOptions): Promise<StormReport> {
  const { scenario, signal } = options
  const ledger = createLedger()
  const sink = await startSinkProcess(scenario, ledger.arrived)
  try {
    const fleet = await startFleet({
      directory: options.directory,
      launcher: options.launcher,
      serverConfig: serverConfigOf(scenario, sink.port, options.volatile ?? false),
      routes: { table: routesOf() },
      policy: scenario.policy,
      periodMs: scenario.periodMs,
      ...(signal ? { signal } : {}),
    })
    try {
      return await Promise.race([weather(fleet, ledger, sink.pid, options), sink.failed])
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
  sinkPid: number,
  options: StormOptions,
): Promise<StormReport> {
  const { scenario, signal, progress = () => {}, onRow = () => {} } = options
  const random = seededRandom(scenario.seed)
  const { host, port } = fleet
  const senders = createSenders({ host, port, settings: scenario.senders, random, ledger })
  const watch = watchFleet(fleet, ledger, { progress, onRow })
  const startedAt = new Date().toISOString()
  const startMs = fleet.nowMs()
  const readings: { phase: string; cpu: CpuReading }[] = []
  const read = (phase: string) =>
    readings.push({ phase, cpu: readCpu([process.pid, sinkPid, ...livingPids(fleet)]) })
  try {
    const onPhase = (name: string) => {
      read(name)
      progress(name)
    }
    const phases = await runCourse({
      fleet,
      scenario,
      senders,
      random,
      onPhase,
      ...(signal ? { signal } : {}),
    })
    read('')
    await untilQuiet({ fleet, scenario, senders, ledger, ...(signal ? { signal } : {}) })
    const at = readings.findIndex(({ phase }) => phase === scenario.peakPhase)
    const [from, to] = [readings[at]?.cpu, readings[at + 1]?.cpu]
    return report(fleet, ledger, scenario, watch, {
      startedAt,
      phases,
      cpuIdleAtPeak: (from && to && idleShare(from.machine, to.machine)) ?? 0,
      cpuUsedAtPeak: (from && to && usedShare(from, to)) ?? 0,
      stormSeconds: (fleet.nowMs() - startMs) / 1000,
    })
  } finally {
    await senders.stop()
    watch.stop()
  }
}

function livingPids(fleet: Fleet): number[] {
  return fleet.instances().flatMap(({ state, pid }) => (state === 'Terminated' || pid === null ? [] : [pid]))
}

function report(
  fleet: Fleet,
  ledger: Ledger,
  { concurrency, remoteLatencyMs, policy }: Scenario,
  watch: Watch,
  measured: Pick<StormReport, 'startedAt' | 'phases' | 'cpuIdleAtPeak' | 'cpuUsedAtPeak' | 'stormSeconds'>,
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
        ({ state, terminatingAtMs, cause }) =>
          state === 'Terminated' && (terminatingAtMs === null || cause === 'no answer'),
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
