// An SMTP sink that finds a message by its id. While `refuse(true)` is in effect, it refuses each recipient.
// Owns the sink. Waiting for a message fails only by the caller's signal.
import { messageIdOf } from './message.ts'
import { startSmtpSink, type ReceivedMessage } from './smtp-sink.ts'

export type Mailbox = {
  /** On the host's loopback. */
  port: number
  /** The first message with this id, at once or when it arrives. @throws the reason of `signal`. */
  arrival: (id: string, signal: AbortSignal) => Promise<ReceivedMessage>
  hasArrived: (id: string) => boolean
  /** While true the mailbox refuses each recipient with 451. */
  refuse: (refuses: boolean) => void
  close: () => Promise<void>
}

export async function openMailbox(): Promise<Mailbox> {
  const arrived = new Map<string, ReceivedMessage>()
  const awaited = new Map<string, (message: ReceivedMessage) => void>()
  let refuses = false
  const sink = await startSmtpSink({
    keepsMail: false,
    rcpt: () => (refuses ? '451 4.3.2 not now' : null),
    data: (message) => {
      const id = messageIdOf(message.raw)
      if (id === undefined || arrived.has(id)) return null
      arrived.set(id, message)
      awaited.get(id)?.(message)
      awaited.delete(id)
      return null
    },
  })
  const arrival = async (id: string, signal: AbortSignal): Promise<ReceivedMessage> => {
    signal.throwIfAborted()
    const known = arrived.get(id)
    if (known !== undefined) return known
    const { promise, resolve, reject } = Promise.withResolvers<ReceivedMessage>()
    awaited.set(id, resolve)
    const stop = () => reject(signal.reason as Error)
    signal.addEventListener('abort', stop, { once: true })
    try {
      return await promise
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }
  return {
    port: sink.port,
    arrival,
    hasArrived: (id) => arrived.has(id),
    refuse: (value) => void (refuses = value),
    close: () => sink.close(),
  }
}
