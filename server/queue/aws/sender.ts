// Where a message goes: what is due within the longest delay of SQS to `ready`, delayed until it is due; what is due later
// to `deferred`, for a hop. So all that is visible in `ready` is due, and nothing that is visible in `deferred` is, but
// for the moment until a mover sends it on. Owns: the length of hops. Fails with the SDK's error.
import type { Channel, Outgoing } from './sqs.ts'
import { labelOf, type Parcel } from './message.ts'

/** Hops are shorter by up to this share: what was put off together does not become visible together. */
const HOP_JITTER = 0.25

export type Post = ReturnType<typeof createPost>

type PostOptions = {
  channel: Channel
  config: { readyUrl: string; deferredUrl: string }
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
  function addressed(parcel: Parcel): Outgoing & { url: string } {
    // Rounded up: late by less than a second, never early.
    const waitSeconds = Math.ceil(waitOf(parcel, options) / 1_000)
    if (waitSeconds <= maxDelaySeconds) return { url: config.readyUrl, parcel, delaySeconds: waitSeconds }
    const delaySeconds = Math.ceil(maxDelaySeconds * (1 - HOP_JITTER * Math.random()))
    return { url: config.deferredUrl, parcel, delaySeconds }
  }

  return {
    /** `repeat`: two of this message would do no harm. */
    send: (parcel: Parcel, sending: { repeat: boolean }): Promise<void> => {
      const { url, delaySeconds } = addressed(parcel)
      return channel.send(url, parcel, delaySeconds, sending)
    },

    /** Sends messages of which two would do no harm. @returns for each in turn its error, undefined if it was sent. */
    sendAll: async (parcels: Parcel[]): Promise<(Error | undefined)[]> => {
      const all = parcels.map(addressed)
      const errors = new Map<Outgoing, Error | undefined>()
      for (const url of [config.readyUrl, config.deferredUrl]) {
        const there = all.filter((one) => one.url === url)
        const sent = await channel.sendAll(url, there)
        there.forEach((one, index) => errors.set(one, sent[index]))
      }
      return all.map((one) => errors.get(one))
    },
  }
}
