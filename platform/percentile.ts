// Percentiles by nearest rank: a value that was measured, never one in between.

/** The `share` percentile (0.99 is p99) of `values`, which need no order; null of none. */
export function percentile(values: readonly number[], share: number): number | null {
  if (values.length === 0) return null
  const sorted = [...values].sort((a, b) => a - b)
  const rank = Math.max(1, Math.ceil(share * sorted.length))
  return sorted[rank - 1] ?? null
}
