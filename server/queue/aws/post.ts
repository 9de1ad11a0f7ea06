// Where a message belongs. Owns: the way into the two queues: `ready` when it is due, else `deferred`, with as much of the
// delay as SQS takes; the mover sends it on until its time has come. Fails with the SDK's error.
import type { Channel } from './channel.ts'
import type { AwsQueueConfig } from './engine.ts'
import { labelOf, type Parcel } from './message.ts'

/** So close to its time a message waits in `ready` itself: another hop would take as long. */
const NEARLY_MS = 1_000

export type Post = ReturnType<typeof createPost>

type PostOptions = { channel: Channel; config: AwsQueueConfig; now: () => number; maxDelaySeconds: number }

export function createPost({ channel, config, now, maxDelaySeconds }: PostOptions) {
  return {
    /** `repeat`: two of this message would do no harm. */
    send: (parcel: Parcel, options: { repeat: boolean }): Promise<void> => {
      const waitMs = Math.max(0, (labelOf(parcel)?.dueMs ?? 0) - now())
      const url = waitMs <= NEARLY_MS ? config.readyUrl : config.deferredUrl
      // Rounded up: late by less than a second, never early.
      return channel.send(url, parcel, Math.min(maxDelaySeconds, Math.ceil(waitMs / 1_000)), options)
    },
  }
}
