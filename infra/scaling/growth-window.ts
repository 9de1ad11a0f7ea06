// Counters that only grow, seen from several instances, turned into "how many in the last so many seconds".
// Owns: the deltas per instance and their window. Pure: values in, values out. A counter that went back means that
// the instance restarted: what it shows now is all new (the rule of Prometheus' rate()).

export type GrowthWindow = {
  /** Last counter value of each instance that still lives. */
  counters: Readonly<Record<string, number>>
  /** Growth by time of observation, oldest first; older than the window is dropped. */
  growth: readonly { atMs: number; by: number }[]
}

export const emptyWindow: GrowthWindow = { counters: {}, growth: [] }

/**
 * Adds one observation.
 * @param counters the totals so far, by instance id: a key for every instance that lives, undefined for one that
 *   did not answer this time, or not with a number (its last value is kept). Instances without a key are forgotten.
 * @param windowMs what is older than this is forgotten
 * @returns the new window and the growth within it
 */
export function observeGrowth(
  window: GrowthWindow,
  counters: Readonly<Record<string, number | undefined>>,
  windowMs: number,
  nowMs: number,
): { window: GrowthWindow; grown: number } {
  let grown = 0
  const known: Record<string, number> = {}
  for (const [id, counter] of Object.entries(counters)) {
    const before = window.counters[id] ?? 0
    const total = counter !== undefined && Number.isFinite(counter) ? counter : before
    grown += total >= before ? total - before : total
    known[id] = total
  }
  const kept = window.growth.filter(({ atMs }) => nowMs - atMs < windowMs)
  const growth = grown > 0 ? [...kept, { atMs: nowMs, by: grown }] : kept
  const within = growth.reduce((sum, { by }) => sum + by, 0)
  return { window: { counters: known, growth }, grown: within }
}
