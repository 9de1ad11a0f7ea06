// The destinations of a storm, in a process of their own: an SMTP sink that delays each reply and reports what arrived.
// Owns the latency (a real host queues, scans and stores before its 250) and the times of arrival.
// Usage: node sink-process.ts '{"seed":1,"latencyMs":[200,300]}'. Writes JSON lines: {"port"}, then {"arrived":[[id, ms],…]}.
import { setTimeout as sleep } from 'node:timers/promises'
import { startSmtpSink } from '../mailkit/smtp-sink.ts'
import { stormIdOf } from './message.ts'
import { between, seededRandom } from '../platform/seeded-random.ts'

/** A tenth of the control loop's period. */
const REPORT_MS = 100

const { seed, latencyMs } = JSON.parse(process.argv[2] ?? '{}') as {
  seed: number
  latencyMs: [number, number]
}
const random = seededRandom(seed)
let arrived: [id: string, atMs: number][] = []

const sink = await startSmtpSink({
  keepsMail: false,
  data: async ({ raw }) => {
    await sleep(between(random, latencyMs))
    arrived.push([stormIdOf(raw) ?? '', Date.now()])
    return null
  },
})
writeLine({ port: sink.port })
setInterval(report, REPORT_MS)
process.on('SIGTERM', () => {
  report()
  process.exit(0)
})

function report(): void {
  if (arrived.length > 0) writeLine({ arrived })
  arrived = []
}

function writeLine(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
