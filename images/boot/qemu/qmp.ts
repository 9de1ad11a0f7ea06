// QEMU's control channel (QMP): JSON lines over one stream. Owns the matching of answers to commands, and passes on events.
// Rejects a refused command with QEMU's message, and every open command when the stream ends.
import { createInterface } from 'node:readline'
import type { Duplex } from 'node:stream'
import * as v from 'valibot'

const Message = v.union([
  v.object({ return: v.unknown(), id: v.number() }),
  v.object({ error: v.object({ class: v.string(), desc: v.string() }), id: v.number() }),
  v.object({ event: v.string() }),
  v.object({ QMP: v.unknown() }),
])

const BlockStats = v.array(
  v.object({
    device: v.optional(v.string()),
    stats: v.object({
      rd_bytes: v.number(),
      rd_operations: v.number(),
      wr_bytes: v.number(),
      wr_operations: v.number(),
    }),
  }),
)

type Waiting = { resolve: (value: unknown) => void; reject: (error: Error) => void }

export type Qmp = ReturnType<typeof openQmp>

/** Speaks QMP over `stream`; `onEvent` gets the names of QEMU's events, such as STOP and POWERDOWN. */
export function openQmp(stream: Duplex, onEvent: (name: string) => void = () => {}) {
  const waiting = new Map<number, Waiting>()
  let nextId = 1
  let ended = false

  function end(): void {
    ended = true
    for (const { reject } of waiting.values()) reject(new Error('QEMU ended'))
    waiting.clear()
  }

  function receive(line: string): void {
    const parsed = v.safeParse(Message, JSON.parse(line))
    if (!parsed.success) return
    const message = parsed.output
    if ('event' in message) onEvent(message.event)
    if (!('id' in message)) return
    const waiter = waiting.get(message.id)
    waiting.delete(message.id)
    if ('error' in message) waiter?.reject(new Error(`QEMU: ${message.error.desc}`))
    else waiter?.resolve(message.return)
  }

  async function execute(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    if (ended) throw new Error('QEMU ended')
    const id = nextId++
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject })
      stream.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`)
    })
  }

  // A broken stream means only that QEMU has ended. readline passes on its error as its own.
  createInterface({ input: stream }).on('line', receive).on('close', end).on('error', end)
  stream.on('error', end)

  return {
    execute,

    /** Ends the greeting. QEMU accepts no other command before this one. */
    negotiate: () => execute('qmp_capabilities'),

    /** The bytes that the guest has read from and written to the disk `name`. */
    blockStatistics: (name: string) => blockStatistics(execute, name),

    /** The number of the guest's reads and writes on all its disks. */
    diskOperations: () => diskOperations(execute),

    /** Port of the guest → port on the host's loopback that QEMU forwards to it. */
    async forwardedPorts(): Promise<Map<number, number>> {
      const table = await execute('human-monitor-command', { 'command-line': 'info usernet' })
      return parseForwardedPorts(v.parse(v.string(), table))
    },
  }
}

type Execute = (command: string) => Promise<unknown>
type BlockStatistics = { readBytes: number; reads: number; writtenBytes: number }

async function blockStatistics(execute: Execute, name: string): Promise<BlockStatistics> {
  const found = v.parse(BlockStats, await execute('query-blockstats')).find(({ device }) => device === name)
  if (found === undefined) throw new Error(`QEMU has no disk called ${name}`)
  const { rd_bytes: readBytes, rd_operations: reads, wr_bytes: writtenBytes } = found.stats
  return { readBytes, reads, writtenBytes }
}

async function diskOperations(execute: Execute): Promise<number> {
  const disks = v.parse(BlockStats, await execute('query-blockstats'))
  return disks.reduce((sum, { stats }) => sum + stats.rd_operations + stats.wr_operations, 0)
}

/** Reads QEMU's table of user-mode connections: protocol, descriptor, source, port, destination, port, queues. */
export function parseForwardedPorts(table: string): Map<number, number> {
  const rows = table.matchAll(/TCP\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+(\d+)/g)
  return new Map([...rows].map(([, host, guest]) => [Number(guest), Number(host)]))
}
