// Back-off for hosts that do not answer. Each gets one attempt at a time, so a dead host cannot hold every
// delivery slot. Owns: the list of these hosts. A host that refuses at once costs no time and is not in the
// list.
import type { MxHost } from './mx-hosts.ts'

/** A failed connect that took this long starts the back-off: ten times a slow transcontinental connect. */
const SLOW_CONNECT_MS = 3_000

/** One attempt in this time. With the default connect timeout of 30 s, a dead host holds one slot. */
const PAUSE_MS = 30_000

/** Most hosts remembered; the oldest is dropped first. */
const MAX_HOSTS = 1_000

export type HostBackOff = ReturnType<typeof createHostBackOff>

export function createHostBackOff(now: () => number = () => performance.now()) {
  /** When each host may be tried again. */
  const untilMs = new Map<string, number>()

  function pause(host: MxHost): void {
    untilMs.delete(keyOf(host))
    untilMs.set(keyOf(host), now() + PAUSE_MS)
    const [oldest] = untilMs.keys()
    if (untilMs.size > MAX_HOSTS && oldest !== undefined) untilMs.delete(oldest)
  }

  return {
    /** Whether `host` may be tried now. After its pause, only the first caller may try it. */
    mayTry: (host: MxHost): boolean => {
      const until = untilMs.get(keyOf(host))
      if (until === undefined) return true
      if (until > now()) return false
      pause(host)
      return true
    },

    /** `host` greeted us. */
    answered: (host: MxHost): void => {
      untilMs.delete(keyOf(host))
    },

    /** A connect to `host` that began at `startedMs` failed. */
    failed: (host: MxHost, startedMs: number): void => {
      if (now() - startedMs >= SLOW_CONNECT_MS) pause(host)
      else untilMs.delete(keyOf(host))
    },
  }
}

function keyOf({ address, port }: MxHost): string {
  return `${address} ${port}`
}
