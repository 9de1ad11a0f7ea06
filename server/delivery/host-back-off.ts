// Hosts that let us wait: tried by one attempt at a time, so that one dead host does not hold every delivery slot.
// Owns: which hosts those are. A host that refuses at once costs nothing and is not among them.
import type { MxHost } from './mx-hosts.ts'

/** A wait that counts: ten times a slow transcontinental connect. */
const SLOW_CONNECT_MS = 3_000

/** One attempt in this time: at the default connect time-out of 30 s, a dead host holds one slot. */
const PAUSE_MS = 30_000

/** Most hosts remembered; the oldest goes first. */
const MAX_HOSTS = 1_000

export type HostBackOff = ReturnType<typeof createHostBackOff>

export function createHostBackOff(now: () => number = () => performance.now()) {
  /** When each may be tried again. */
  const untilMs = new Map<string, number>()

  function pause(host: MxHost): void {
    untilMs.delete(keyOf(host))
    untilMs.set(keyOf(host), now() + PAUSE_MS)
    const [oldest] = untilMs.keys()
    if (untilMs.size > MAX_HOSTS && oldest !== undefined) untilMs.delete(oldest)
  }

  return {
    /** May `hop` be tried now? Of a host that let us wait, only the first to ask after its pause may. */
    mayTry: (host: MxHost): boolean => {
      const until = untilMs.get(keyOf(host))
      if (until === undefined) return true
      if (until > now()) return false
      pause(host)
      return true
    },

    /** `hop` has welcomed us. */
    answered: (host: MxHost): void => {
      untilMs.delete(keyOf(host))
    },

    /** Connecting to `hop`, begun at `startedMs`, has failed. */
    failed: (host: MxHost, startedMs: number): void => {
      if (now() - startedMs >= SLOW_CONNECT_MS) pause(host)
      else untilMs.delete(keyOf(host))
    },
  }
}

function keyOf({ address, port }: MxHost): string {
  return `${address} ${port}`
}
