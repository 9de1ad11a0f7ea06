// Where a message belongs. Owns: the way into the two queues: `ready` when it is due, else `deferred`, with as much of the
// delay as SQS takes; the mover sends it on until its time has come. Fails with the SDK's error.
import type { Channel } from './channel.ts'
import type { AwsQueueConfig } from './engine.ts'
import { labelOf, type Parcel } from './message.ts'

/** So close to its time a message waits in `ready` itself: another hop would take as long. */
const NEARLY_MS = 1_000

export type Post = ReturnType<typeof createPost>

type PostOptions = {
  channel: Channel
  config: AwsQueueConfig
  now: () => number
  maxDelaySeconds: number
  longestWaitMs: (attempts: number) => number
}

/** How long until a message is due. One that is due later than it can be was written by a clock that was ahead. */
function waitOf(parcel: Parcel, { now, longestWaitMs }: Pick<PostOptions, 'now' | 'longestWaitMs'>): number {
  const label = labelOf(parcel)
  const waitMs = Math.max(0, (label?.dueMs ?? 0) - now())
  return waitMs > longestWaitMs(Math.max(1, label?.generation ?? 1)) ? 0 : waitMs
}

export function createPost(options: PostOptions) {
  const { channel, config, maxDelaySeconds } = options
  return {
    /** `repeat`: two of this message would do no harm. */
    send: (parcel: Parcel, sending: { repeat: boolean }): Promise<void> => {
      const waitMs = waitOf(parcel, options)
      const url = waitMs <= NEARLY_MS ? config.readyUrl : config.deferredUrl
      // Rounded up: late by less than a second, never early.
      return channel.send(url, parcel, Math.min(maxDelaySeconds, Math.ceil(waitMs / 1_000)), sending)
    },
  }
}
