// The mover: sends on what has waited in `deferred` as long as SQS delays a message: to `ready` what is due soon, to
// `deferred` once more what is not. Owns: its loop, which runs in every instance. A message is sent before the one it came
// in is deleted: at worst there are two of one generation, of which one is worked on. After an error it waits, longer
// each time; it never ends by one.
import { setTimeout as sleep } from 'node:timers/promises'
import { RECEIVE_BATCH, retrySeconds, type ReceivedMessage } from './sqs.ts'
import type { AwsEngine } from './types.ts'
import { withAttribute } from './message.ts'

/** Time to send on what was received: 3 tries of 10 s. */
const HOLD_SECONDS = 30

const FIRST_PAUSE_MS = 1_000
const LAST_PAUSE_MS = 60_000

export function startMover(engine: AwsEngine) {
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

async function moveSome({ sqs, config, sender }: AwsEngine): Promise<void> {
  const pollSeconds = Math.max(1, config.waitSeconds)
  const come = await sqs.receive(config.deferredUrl, RECEIVE_BATCH, HOLD_SECONDS, pollSeconds)
  if (come.length === 0) return
  // Two may come of this: tracked, one of them is worked on.
  const sent = await sender.sendAll(come.map(({ message }) => withAttribute(message, 'tracked', '1')))
  const gone = come.filter((_message, index) => sent[index] === undefined)
  const removed = await sqs.removeAll(
    config.deferredUrl,
    gone.map(({ receipt }) => receipt),
  )
  const stayed = [
    ...come.filter((_message, index) => sent[index] !== undefined),
    ...gone.filter((_message, index) => removed[index] !== undefined),
  ]
  // If this fails too, they come back when their time is up.
  const hold = ({ receipt, receiveCount }: ReceivedMessage) =>
    sqs.changeVisibility(config.deferredUrl, receipt, retrySeconds(receiveCount)).catch(() => {})
  await Promise.all(stayed.map(hold))
  const error = [...sent, ...removed].find((each) => each !== undefined)
  if (error !== undefined) throw error
}
