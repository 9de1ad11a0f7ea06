// Records the rows of a storm's report: the fleet's row with the ledger's and the processors' figures of that period.
// Also records the highest number of instances in service. It never fails.
import type { FleetRow, ScaleEvent } from '../infra/local/fleet-events.ts'
import type { Fleet } from '../infra/local/fleet.ts'
import type { TimelineRow } from './report.ts'
import { idleShare, readCpuTicks } from './cpu.ts'
import type { Ledger } from './ledger.ts'

export type TimelineRecorder = { timeline: TimelineRow[]; maxInstances: () => number; stop: () => void }

/** Listens to `fleet` until stop(). Calls back for each row and each scale event. */
export function recordTimeline(
  fleet: Fleet,
  ledger: Ledger,
  callbacks: { progress: (line: string) => void; onRow: (row: TimelineRow) => void },
): TimelineRecorder {
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
    callbacks.onRow(full)
  }
  const scale = ({ from, to, reason }: ScaleEvent) =>
    callbacks.progress(`${from} → ${to} instances: ${reason}`)
  const instance = () => (most = Math.max(most, inService()))
  fleet.events.on('row', row).on('scale', scale).on('instance', instance)
  return {
    timeline,
    maxInstances: () => most,
    stop: () => void fleet.events.off('row', row).off('scale', scale).off('instance', instance),
  }
}
