// Hosts that let us wait: tried by one attempt at a time, so that one dead host does not hold every delivery slot.
// Owns: which hosts those are. A host that refuses at once costs nothing and is not among them.
import type { Hop } from './mx-hosts.ts'

/** A wait that counts: ten times a slow transcontinental connect. */
const WAITED_MS = 3_000

/** One attempt in this time: at the default connect time-out of 30 s, a dead host holds one slot. */
const PAUSE_MS = 30_000

/** Most hosts remembered; the oldest goes first. */
const HOSTS = 1_000

export type Unanswering = ReturnType<typeof createUnanswering>

export function createUnanswering(now: () => number = () => performance.now()) {
  /** When each may be tried again. */
  const untilMs = new Map<string, number>()

  function pause(hop: Hop): void {
    untilMs.delete(keyOf(hop))
    untilMs.set(keyOf(hop), now() + PAUSE_MS)
    const [oldest] = untilMs.keys()
    if (untilMs.size > HOSTS && oldest !== undefined) untilMs.delete(oldest)
  }

  return {
    /** May `hop` be tried now? Of a host that let us wait, only the first to ask after its pause may. */
    mayTry: (hop: Hop): boolean => {
      const until = untilMs.get(keyOf(hop))
      if (until === undefined) return true
      if (until > now()) return false
      pause(hop)
      return true
    },

    /** `hop` has welcomed us. */
    answered: (hop: Hop): void => {
      untilMs.delete(keyOf(hop))
    },

    /** Connecting to `hop`, begun at `startedMs`, has failed. */
    failed: (hop: Hop, startedMs: number): void => {
      if (now() - startedMs >= WAITED_MS) pause(hop)
      else untilMs.delete(keyOf(hop))
    },
  }
}

function keyOf({ address, port }: Hop): string {
  return `${address} ${port}`
}
