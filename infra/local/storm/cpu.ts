// How idle this machine's processors are, from the kernel's own count (proc_stat(5)).
// Owns: reading /proc/stat. Waiting for the disk counts as idle: a processor that waits could work.
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
