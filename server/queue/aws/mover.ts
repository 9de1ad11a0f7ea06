// The mover forwards messages whose SQS delay in `deferred` has ended: to `ready` when due soon, else to `deferred` again.
// Owns: its loop, which every instance runs. It sends before it deletes, so at worst a generation has two messages, of
// which one is worked on. After an error it waits, longer each time; the loop never ends by an error.
import { setTimeout as sleep } from 'node:timers/promises'
import { RECEIVE_BATCH, retrySeconds, type ReceivedSqsMessage } from './sqs.ts'
import type { AwsEngine } from './types.ts'
import { withAttribute } from './message.ts'

/** Time to forward the received messages: 3 tries of 10 s. */
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
    /** Resolves when the open poll has ended. Otherwise SQS would hide a message for a closed connection. */
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
  // Two copies may result. Since both are tracked, one of them is worked on.
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
  // If this fails too, the messages return when their visibility timeout ends.
  const hold = ({ receipt, receiveCount }: ReceivedSqsMessage) =>
    sqs.changeVisibility(config.deferredUrl, receipt, retrySeconds(receiveCount)).catch(() => {})
  await Promise.all(stayed.map(hold))
  const error = [...sent, ...removed].find((each) => each !== undefined)
  if (error !== undefined) throw error
}
