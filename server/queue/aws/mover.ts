// The mover: brings what is due from `deferred` to `ready`, and sends on what has waited as long as SQS delays a message.
// Owns: its loop, which runs in every instance. A message is sent before the one it came in is deleted: at worst there
// are two of one generation, of which one is worked on. Trouble makes it wait, longer each time; it never ends by it.
import { setTimeout as sleep } from 'node:timers/promises'
import { RECEIVED_AT_ONCE, retrySeconds, type Received } from './channel.ts'
import type { Engine } from './engine.ts'
import { withText } from './message.ts'

/** Time to send on what was received: 3 tries of 10 s. */
const HOLD_SECONDS = 30

const FIRST_PAUSE_MS = 1_000
const LAST_PAUSE_MS = 60_000

export function startMover(engine: Engine) {
  const stopping = new AbortController()
  const { signal } = stopping

  async function loop(): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS
    while (!signal.aborted) {
      try {
        await moveSome(engine)
        pauseMs = FIRST_PAUSE_MS
      } catch (error) {
        engine.onError('move', error)
        await sleep(pauseMs, undefined, { signal }).catch(() => {})
        pauseMs = Math.min(LAST_PAUSE_MS, 2 * pauseMs)
      }
    }
  }

  const ended = loop()
  return {
    /** Resolves when the poll that is open has ended: a message given to a closed connection would be held for nobody. */
    stop: async (): Promise<void> => {
      stopping.abort()
      await ended
    },
  }
}

async function moveSome({ channel, config, post }: Engine): Promise<void> {
  const pollSeconds = Math.max(1, config.waitSeconds)
  const come = await channel.receive(config.deferredUrl, RECEIVED_AT_ONCE, HOLD_SECONDS, pollSeconds)
  const move = async ({ parcel, receipt, receives }: Received) => {
    try {
      // Two may come of this: tracked, one of them is worked on.
      await post.send(withText(parcel, 'tracked', '1'), { repeat: true })
      await channel.remove(config.deferredUrl, receipt)
    } catch (error) {
      // If this fails too, it comes back when its time is up.
      await channel.hold(config.deferredUrl, receipt, retrySeconds(receives)).catch(() => {})
      throw error
    }
  }
  const moved = await Promise.allSettled(come.map(move))
  const failed = moved.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
