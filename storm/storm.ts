// Runs a load scenario: the senders send to a fleet, and the fleet forwards to a slow sink. Makes the report.
// Fails when the sink or the fleet cannot start, or when the sink ends. Lost mail and crashed instances are figures
// of the report, not failures.
import { availableParallelism } from 'node:os'
import { targetBacklog } from '../infra/scaling/policy.ts'
import { startFleet, type Fleet } from '../infra/local/fleet.ts'
import type { Launcher } from '../infra/local/launcher.ts'
import type { StormReport, TimelineRow } from './report.ts'
import { runPhases, waitUntilDelivered } from './phases.ts'
import { idleShare, readCpu, usedShare, type CpuReading } from './cpu.ts'
import { createLedger, type Ledger } from './ledger.ts'
import { seededRandom } from '../platform/seeded-random.ts'
import { stormRoutes, stormServerConfig, type Scenario } from './scenario.ts'
import { createSenders } from './senders.ts'
import { startSinkProcess } from './sink.ts'
import { recordTimeline, type TimelineRecorder } from './timeline.ts'

export type StormOptions = {
  /** For the spool, the logs and the configuration of the fleet. Must be new for each storm. */
  directory: string
  launcher: Launcher
  scenario: Scenario
  /** The directory is on a tmpfs. */
  volatile?: boolean
  progress?: (line: string) => void
  /** Called once per period. */
  onRow?: (row: TimelineRow) => void
  /** When it aborts, the fleet drains, and then the storm rejects with the signal's reason. */
  signal?: AbortSignal
}

/** Resolves when the senders, the fleet and the sink have stopped. */
export async function runStorm(options: StormOptions): Promise<StormReport> {
  const { scenario, signal } = options
  const ledger = createLedger()
  const sink = await startSinkProcess(scenario, ledger.arrived)
  try {
    const fleet = await startFleet({
      directory: options.directory,
      launcher: options.launcher,
      serverConfig: stormServerConfig(scenario, sink.port, options.volatile ?? false),
      routes: { table: stormRoutes() },
      policy: scenario.policy,
      periodMs: scenario.periodMs,
      ...(signal ? { signal } : {}),
    })
    try {
      return await Promise.race([runScenario(fleet, ledger, sink.pid, options), sink.failed])
    } catch (error) {
      // The waits end with an AbortError. The caller gets the signal's reason instead.
      signal?.throwIfAborted()
      throw error
    } finally {
      await fleet.stop()
    }
  } finally {
    await sink.stop()
  }
}

async function runScenario(
  fleet: Fleet,
  ledger: Ledger,
  sinkPid: number,
  options: StormOptions,
): Promise<StormReport> {
  const { scenario, signal, progress = () => {}, onRow = () => {} } = options
  const random = seededRandom(scenario.seed)
  const { host, port } = fleet
  const senders = createSenders({ host, port, settings: scenario.senders, random, ledger })
  const recorder = recordTimeline(fleet, ledger, { progress, onRow })
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
    const phases = await runPhases({
      fleet,
      scenario,
      senders,
      random,
      onPhase,
      ...(signal ? { signal } : {}),
    })
    read('')
    await waitUntilDelivered({ fleet, scenario, senders, ledger, ...(signal ? { signal } : {}) })
    const at = readings.findIndex(({ phase }) => phase === scenario.peakPhase)
    const [from, to] = [readings[at]?.cpu, readings[at + 1]?.cpu]
    return reportOf(
      { fleet, ledger, scenario, recorder },
      {
        startedAt,
        phases,
        cpuIdleAtPeak: (from && to && idleShare(from.machine, to.machine)) ?? 0,
        cpuUsedAtPeak: (from && to && usedShare(from, to)) ?? 0,
        stormSeconds: (fleet.nowMs() - startMs) / 1000,
      },
    )
  } finally {
    await senders.stop()
    recorder.stop()
  }
}

function livingPids(fleet: Fleet): number[] {
  return fleet.instances().flatMap(({ state, pid }) => (state === 'Terminated' || pid === null ? [] : [pid]))
}

type Sources = { fleet: Fleet; ledger: Ledger; scenario: Scenario; recorder: TimelineRecorder }

function reportOf(
  { fleet, ledger, scenario, recorder }: Sources,
  measured: Pick<StormReport, 'startedAt' | 'phases' | 'cpuIdleAtPeak' | 'cpuUsedAtPeak' | 'stormSeconds'>,
): StormReport {
  const { concurrency, remoteLatencyMs, policy } = scenario
  const instances = fleet.instances()
  const last = fleet.timeline.at(-1)
  const queued = (last?.ready ?? 0) + (last?.inFlight ?? 0) + (last?.deferred ?? 0)
  const meanLatencyMs = (remoteLatencyMs[0] + remoteLatencyMs[1]) / 2
  return {
    fleet: {
      maxInstances: recorder.maxInstances(),
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
    timeline: recorder.timeline,
    ...measured,
  }
}
