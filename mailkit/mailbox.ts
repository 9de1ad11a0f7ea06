// Where the boot test's messages arrive: a sink that knows each by its id and can be told to refuse for a while.
// Fails only by the caller's signal.
import { startSink, type Received } from './sink.ts'

export type Mailbox = {
  /** On the host's loopback. */
  port: number
  /** The first message with this id, now or when it comes. @throws what `signal` was aborted with. */
  arrival: (id: string, signal: AbortSignal) => Promise<Received>
  hasArrived: (id: string) => boolean
  /** While true every recipient is answered 451. */
  refuse: (refuses: boolean) => void
  close: () => Promise<void>
}

export async function openMailbox(): Promise<Mailbox> {
  const arrived = new Map<string, Received>()
  const awaited = new Map<string, (message: Received) => void>()
  let refuses = false
  const sink = await startSink(
    (message) => {
      const id = /^Message-ID: <([^@>]+)@/im.exec(message.raw.subarray(0, 16_384).toString('latin1'))?.[1]
      if (id === undefined || arrived.has(id)) return
      arrived.set(id, message)
      awaited.get(id)?.(message)
      awaited.delete(id)
    },
    () => refuses,
  )
  const arrival = async (id: string, signal: AbortSignal): Promise<Received> => {
    signal.throwIfAborted()
    const known = arrived.get(id)
    if (known !== undefined) return known
    const { promise, resolve, reject } = Promise.withResolvers<Received>()
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
    ...{ port: sink.port, arrival, hasArrived: (id: string) => arrived.has(id) },
    refuse: (value) => void (refuses = value),
    close: () => sink.close(),
  }
}
