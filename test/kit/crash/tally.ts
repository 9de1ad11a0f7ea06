// Counts of a crash test: what was promised, what arrived, and what arrived more than once.

export type Tally = ReturnType<typeof openTally>

export function openTally() {
  const promised = new Set<string>()
  const arrived = new Map<string, number>()
  return {
    promise: (id: string) => void promised.add(id),
    arrive: (id: string) => void arrived.set(id, (arrived.get(id) ?? 0) + 1),
    promised: () => promised.size,
    arrived: () => arrived.size,
    /** Arrivals beyond the first of each. */
    duplicates: () => [...arrived.values()].reduce((sum, times) => sum + times - 1, 0),
    /** What was promised and has not arrived. */
    missing: () => [...promised].filter((id) => !arrived.has(id)),
  }
}
