// Percentiles by nearest rank: the result is always one of the measured values.

/** The `share` percentile of `values` in any order (0.99 is p99); null when there are none. */
export function percentile(values: readonly number[], share: number): number | null {
  if (values.length === 0) return null
  const sorted = [...values].sort((a, b) => a - b)
  const rank = Math.max(1, Math.ceil(share * sorted.length))
  return sorted[rank - 1] ?? null
}
