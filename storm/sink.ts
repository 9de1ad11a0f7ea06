// Starts and stops the process of the storm's sink, and calls back for each message that arrived.
// Owns that process; the kernel ends it with this one. `failed` rejects if the process ends by itself.
import { execa } from 'execa'
import { join } from 'node:path'
import type { Scenario } from './scenario.ts'

export type SinkProcess = {
  port: number
  pid: number
  /** Rejects when the sink ends before it was stopped; never resolves. */
  failed: Promise<never>
  /** Ends the process, after its last report. */
  stop: () => Promise<void>
}

type SinkLine = { port?: number; arrived?: [id: string, atMs: number][] }

/**
 * Starts a sink; resolves when it listens.
 * @param onArrived gets the id ('' for a message of another origin) and the time of the sink's 250, ms since the epoch
 */
export async function startSinkProcess(
  { seed, remoteLatencyMs }: Pick<Scenario, 'seed' | 'remoteLatencyMs'>,
  onArrived: (id: string, atMs: number) => void,
): Promise<SinkProcess> {
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
      const report = JSON.parse(line) as SinkLine
      if (report.port !== undefined) onPort(report.port)
      for (const [id, atMs] of report.arrived ?? []) onArrived(id, atMs)
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
