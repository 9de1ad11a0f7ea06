// How far the counters of several instances have grown within a time window. Pure.
// A counter that decreased means that the instance restarted: its whole value is growth, as in Prometheus' rate().

export type GrowthWindow = {
  /** Last counter value of each living instance. */
  counters: Readonly<Record<string, number>>
  /** Growth by time of observation, oldest first, within the window. */
  growth: readonly { atMs: number; by: number }[]
}

export const emptyWindow: GrowthWindow = { counters: {}, growth: [] }

/**
 * Adds one observation.
 * @param counters the totals by instance id, with a key for each living instance. undefined or NaN for an instance that
 *   did not answer: its last value stays. Instances without a key are dropped.
 * @param windowMs older growth is dropped
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
