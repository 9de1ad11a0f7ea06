// How idle this machine's processors are, and how much of them the storm itself takes, from the kernel's own counts.
// Owns: reading /proc/stat and /proc/PID/stat. Waiting for the disk counts as idle: a processor that waits could work.
// Both are needed: on a machine that others use as well it is the second that tells what limits an instance.
import { readFileSync } from 'node:fs'

/** Ticks of all processors together since boot. */
export type CpuTicks = { idle: number; total: number }

/** The first line of /proc/stat: cpu user nice system idle iowait irq softirq steal guest guest_nice. */
export function parseCpuTicks(stat: string): CpuTicks {
  const fields = /^cpu\s+(.*)$/m.exec(stat)?.[1]?.trim().split(/\s+/).map(Number) ?? []
  // guest and guest_nice are contained in user and nice.
  const counted = fields.slice(0, 8)
  return { idle: (fields[3] ?? 0) + (fields[4] ?? 0), total: counted.reduce((sum, ticks) => sum + ticks, 0) }
}

export function readCpuTicks(): CpuTicks {
  return parseCpuTicks(readFileSync('/proc/stat', 'utf8'))
}

/** Idle share from one reading to a later one, 0 to 1; null when no tick has passed. */
export function idleShare(from: CpuTicks, to: CpuTicks): number | null {
  const total = to.total - from.total
  return total > 0 ? Math.min(1, Math.max(0, (to.idle - from.idle) / total)) : null
}

/** A reading of the machine and of some processes; ticks by pid. */
export type CpuReading = { machine: CpuTicks; processes: ReadonlyMap<number, number> }

/** utime and stime (fields 14 and 15 of proc_pid_stat(5)); the name before them may hold spaces and brackets. */
export function parseProcessTicks(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
}

/** Reads the machine and the processes `pids`; one that is gone is left out. */
export function readCpu(pids: readonly number[]): CpuReading {
  const processes = new Map<number, number>()
  for (const pid of pids) {
    try {
      processes.set(pid, parseProcessTicks(readFileSync(`/proc/${pid}/stat`, 'utf8')))
    } catch {
      // Gone.
    }
  }
  return { machine: readCpuTicks(), processes }
}

/** Share of all processors that the processes of the later reading took meanwhile, 0 to 1. */
export function usedShare(from: CpuReading, to: CpuReading): number | null {
  const total = to.machine.total - from.machine.total
  let used = 0
  for (const [pid, ticks] of to.processes) used += ticks - (from.processes.get(pid) ?? 0)
  return total > 0 ? Math.min(1, used / total) : null
}
