// A fake MX host whose replies the test chooses. Owns: its socket on loopback.
import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { DeliveryResult } from '../../../server/delivery/delivery-result.ts'

/** Options of connections with short timeouts. */
export const CONNECTION_OPTIONS = {
  hostname: 'mx1.example.net',
  connectMs: 1_000,
  greetingMs: 1_000,
  socketMs: 1_000,
  idleMs: 1_000,
  messagesPerConnection: 2,
  maxIdle: 1,
}

export type FakeMxHost = { port: number; connections: number; messages: number; close: () => void }

/** Starts a host that answers each command with `answer`; null closes the connection without a reply. */
export async function startFakeMxHost(answer: (line: string) => string | null): Promise<FakeMxHost> {
  const state = { connections: 0, messages: 0 }
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    state.connections++
    sockets.add(socket)
    socket.on('error', () => {})
    let data = false
    let rest = ''
    const say = (line: string) => {
      const reply = answer(line)
      if (reply === null) socket.destroy()
      else if (reply !== '') socket.write(`${reply}\r\n`)
      return reply
    }
    say('greeting')
    socket.on('data', (chunk) => {
      const lines = (rest + chunk.toString()).split('\r\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (data && line !== '.') continue
        if (data) state.messages++
        const reply = say(line)
        data = line === 'DATA' && reply?.startsWith('354') === true
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return state.connections
    },
    get messages() {
      return state.messages
    },
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** The replies of a working host, with those of `over` in their place. */
export function mxReplies(over: Record<string, string | null> = {}): (line: string) => string | null {
  const usual: Record<string, string> = {
    greeting: '220 mx.b.example ESMTP',
    EHLO: '250-mx.b.example\r\n250-PIPELINING\r\n250 SIZE 1000',
    MAIL: '250 2.1.0 ok',
    RCPT: '250 2.1.5 ok',
    DATA: '354 go on',
    '.': '250 2.0.0 taken',
    QUIT: '221 bye',
  }
  return (line) => {
    const found = Object.keys({ ...usual, ...over })
      .sort((one, other) => other.length - one.length)
      .find((start) => line.startsWith(start))
    return found === undefined ? '500 what' : ({ ...usual, ...over }[found] ?? null)
  }
}

export const ENVELOPE = {
  reversePath: 'a@sender.example',
  recipients: ['a@b.example', 'c@b.example'],
  eightBit: false,
}
export const MESSAGE = [Buffer.from('Delivered-To: x\r\n'), Buffer.from('Subject: x\r\n\r\nx\r\n')]

export function describeOutcome(outcome: DeliveryResult | undefined): string {
  if (outcome === undefined) return 'nothing'
  return [outcome.kind, ...(outcome.kind === 'deferred' ? [outcome.why] : []), outcome.status].join(' ')
}
