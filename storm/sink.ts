// The sink as the storm sees it: a port, and a call for each message that arrived.
// Owns: the sink's process, which the kernel ends with this one. A sink that ends by itself is an error of the storm:
// `failed` rejects.
import { execa } from 'execa'
import { join } from 'node:path'
import type { Scenario } from './scenario.ts'

export type Sink = {
  port: number
  pid: number
  /** Rejects when the sink ends before it was stopped; never resolves. */
  failed: Promise<never>
  /** Ends it; everything that had arrived has been told by then. */
  stop: () => Promise<void>
}

type SinkLine = { port?: number; arrived?: [id: string, atMs: number][] }

/**
 * Starts a sink; resolves when it listens.
 * @param onArrived the id ('' of a message that is not the storm's) and when the sink said 250, ms since the epoch
 */
export async function startSink(
  { seed, remoteLatencyMs }: Pick<Scenario, 'seed' | 'remoteLatencyMs'>,
  onArrived: (id: string, atMs: number) => void,
): Promise<Sink> {
  const settings = JSON.stringify({ seed, latencyMs: remoteLatencyMs })
  const program = [process.execPath, join(import.meta.dirname, './sink-process.ts'), settings]
  const child = execa('setpriv', ['--pdeathsig', 'KILL', '--', ...program], {
    stdin: 'ignore',
    stderr: 'inherit',
    detached: true,
    cleanup: false,
    buffer: false,
    reject: false,
  })
  let stopped = false
  let onPort: (port: number) => void = () => {}
  const port = new Promise<number>((resolve) => (onPort = resolve))
  const ended = (async () => {
    for await (const line of child.iterable({ from: 'stdout' })) {
      const told = JSON.parse(line) as SinkLine
      if (told.port !== undefined) onPort(told.port)
      for (const [id, atMs] of told.arrived ?? []) onArrived(id, atMs)
    }
    return child
  })()
  const failed = ended.then((result) => {
    if (stopped) return new Promise<never>(() => {})
    throw new Error(`the sink ended: ${result.signal ?? `exit code ${result.exitCode}`}`)
  })
  failed.catch(() => {})
  return {
    port: await Promise.race([port, failed]),
    pid: child.pid ?? 0,
    failed,
    stop: async () => {
      stopped = true
      child.kill('SIGTERM')
      await ended
    },
  }
}
