// How many bounces one bounce address takes. Owns: the counts of this process, and that they stay small.
// Only addresses that we signed are counted, so that no stranger can fill the table with made-up ones.

/** Addresses counted at once; the one counted first gives way. */
const MAX_ADDRESSES = 10_000
const HOUR_MS = 3_600_000

export type BounceLimit = {
  /** Counts a bounce to `address`, and says whether it may come. */
  admits: (address: string, nowMs: number) => boolean
}

/** @param perHour bounces that one address takes in an hour, from the first on */
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
