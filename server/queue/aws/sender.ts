// Chooses the queue and delay of a message. A message due within SQS's longest delay goes to `ready`, delayed until it is
// due. A later one goes to `deferred` with the longest delay. So every visible message in `ready` is due, and none in
// `deferred` is. Fails with the SDK's error.
import type { SqsCalls, OutgoingMessage } from './sqs.ts'
import { decodeAttributes, type SqsMessage } from './message.ts'

/**
 * The delay in `deferred` is shorter by up to this share, so that messages deferred together do not return together.
 */
const DELAY_JITTER = 0.25

export type MessageSender = ReturnType<typeof createMessageSender>

type MessageSenderOptions = {
  sqs: SqsCalls
  config: { readyUrl: string; deferredUrl: string }
  now: () => number
  maxDelaySeconds: number
  longestWaitMs: (attempts: number) => number
}

/**
 * How long until a message is due. If that is longer than any wait, a clock that was ahead wrote it, and the message is
 * due.
 */
function waitOf(
  message: SqsMessage,
  { now, longestWaitMs }: Pick<MessageSenderOptions, 'now' | 'longestWaitMs'>,
): number {
  const attributes = decodeAttributes(message)
  const waitMs = Math.max(0, (attributes?.dueMs ?? 0) - now())
  return waitMs > longestWaitMs(Math.max(1, attributes?.generation ?? 1)) ? 0 : waitMs
}

export function createMessageSender(options: MessageSenderOptions) {
  const { sqs, config, maxDelaySeconds } = options
  function routed(message: SqsMessage): OutgoingMessage & { url: string } {
    // Rounded up: late by less than a second, never early.
    const waitSeconds = Math.ceil(waitOf(message, options) / 1_000)
    if (waitSeconds <= maxDelaySeconds) return { url: config.readyUrl, message, delaySeconds: waitSeconds }
    const delaySeconds = Math.ceil(maxDelaySeconds * (1 - DELAY_JITTER * Math.random()))
    return { url: config.deferredUrl, message, delaySeconds }
  }

  return {
    /** `repeat`: a second copy of this message does no harm. */
    send: (message: SqsMessage, sending: { repeat: boolean }): Promise<void> => {
      const { url, delaySeconds } = routed(message)
      return sqs.send(url, message, delaySeconds, sending)
    },

    /**
     * Sends messages whose copies do no harm.
     * @returns for each in order its error; undefined if it was sent
     */
    sendAll: async (messages: SqsMessage[]): Promise<(Error | undefined)[]> => {
      const all = messages.map(routed)
      const errors = new Map<OutgoingMessage, Error | undefined>()
      for (const url of [config.readyUrl, config.deferredUrl]) {
        const there = all.filter((one) => one.url === url)
        const sent = await sqs.sendAll(url, there)
        there.forEach((one, index) => errors.set(one, sent[index]))
      }
      return all.map((one) => errors.get(one))
    },
  }
}
