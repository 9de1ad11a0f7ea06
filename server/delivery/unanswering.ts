// Hosts that let us wait: left alone for a while, so that one dead host does not hold every delivery slot.
// Owns: which hosts those are. A host that refuses at once costs nothing and is not among them.
import type { Hop } from './resolve.ts'

/** A wait that counts: ten times a slow transcontinental connect. */
const WAITED_MS = 3_000

/** How long such a host is left alone: with 10 slots and 30 s a connect, it takes at most half a slot on average. */
const PAUSE_MS = 60_000

/** Most hosts remembered; the oldest goes first. */
const HOSTS = 1_000

export type Unanswering = ReturnType<typeof createUnanswering>

export function createUnanswering(now: () => number = Date.now) {
  const untilMs = new Map<string, number>()
  return {
    /** Is `hop` to be left alone? */
    has: (hop: Hop): boolean => (untilMs.get(keyOf(hop)) ?? 0) > now(),

    /** Notes that connecting to `hop`, begun at `startedMs`, has failed. */
    failed: (hop: Hop, startedMs: number): void => {
      if (now() - startedMs < WAITED_MS) return
      untilMs.delete(keyOf(hop))
      untilMs.set(keyOf(hop), now() + PAUSE_MS)
      const [oldest] = untilMs.keys()
      if (untilMs.size > HOSTS && oldest !== undefined) untilMs.delete(oldest)
    },
  }
}

function keyOf({ address, port }: Hop): string {
  return `${address} ${port}`
}
