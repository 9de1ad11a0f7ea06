// Limits the bounces to one SRS address. Owns: the counts of this process, and the size of their table. Cannot fail.
// It counts only addresses that this service signed, so a client cannot fill the table with invented
// addresses.

/** Most addresses in the table. A new address replaces the oldest one. */
const MAX_ADDRESSES = 10_000
const HOUR_MS = 3_600_000

export type BounceLimit = {
  /** Counts a bounce to `address`. @returns whether it is within the limit. */
  admits: (address: string, nowMs: number) => boolean
}

/** @param perHour bounces to one address within an hour of the first one */
export function createBounceLimit(perHour: number): BounceLimit {
  const counts = new Map<string, { count: number; sinceMs: number }>()
  return {
    admits: (address, nowMs) => {
      const key = address.toLowerCase()
      const known = counts.get(key)
      if (known !== undefined && nowMs - known.sinceMs < HOUR_MS && nowMs >= known.sinceMs)
        return ++known.count <= perHour
      counts.delete(key)
      if (counts.size >= MAX_ADDRESSES) counts.delete(counts.keys().next().value ?? '')
      counts.set(key, { count: 1, sinceMs: nowMs })
      return true
    },
  }
}
