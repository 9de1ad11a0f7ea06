// Reads from /proc how idle the processors are, and how much of them the processes of the storm use.
// Waiting for the disk counts as idle, because the processor could work meanwhile.
// On a shared machine only the use by the storm's processes shows whether the processors limit the fleet.
import { readFileSync } from 'node:fs'

/** Ticks of all processors since boot. */
export type CpuTicks = { idle: number; total: number }

/** First line of /proc/stat: cpu user nice system idle iowait irq softirq steal guest guest_nice. */
export function parseCpuTicks(stat: string): CpuTicks {
  const fields = /^cpu\s+(.*)$/m.exec(stat)?.[1]?.trim().split(/\s+/).map(Number) ?? []
  // user and nice already include guest and guest_nice.
  const counted = fields.slice(0, 8)
  return { idle: (fields[3] ?? 0) + (fields[4] ?? 0), total: counted.reduce((sum, ticks) => sum + ticks, 0) }
}

export function readCpuTicks(): CpuTicks {
  return parseCpuTicks(readFileSync('/proc/stat', 'utf8'))
}

/** From 0 to 1; null when no tick has passed between the readings. */
export function idleShare(from: CpuTicks, to: CpuTicks): number | null {
  const total = to.total - from.total
  return total > 0 ? Math.min(1, Math.max(0, (to.idle - from.idle) / total)) : null
}

/** `processes` maps a pid to its ticks. */
export type CpuReading = { machine: CpuTicks; processes: ReadonlyMap<number, number> }

/** utime and stime, fields 14 and 15 of proc_pid_stat(5). The name before them may contain spaces and brackets. */
export function parseProcessTicks(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
}

/** Leaves out a process that has ended. */
export function readCpu(pids: readonly number[]): CpuReading {
  const processes = new Map<number, number>()
  for (const pid of pids) {
    try {
      processes.set(pid, parseProcessTicks(readFileSync(`/proc/${pid}/stat`, 'utf8')))
    } catch {
      // The process has ended.
    }
  }
  return { machine: readCpuTicks(), processes }
}

/** Share of all processors that the processes in `to` used since `from`, 0 to 1; null when no tick has passed. */
export function usedShare(from: CpuReading, to: CpuReading): number | null {
  const total = to.machine.total - from.machine.total
  let used = 0
  for (const [pid, ticks] of to.processes) used += ticks - (from.processes.get(pid) ?? 0)
  return total > 0 ? Math.min(1, used / total) : null
}
