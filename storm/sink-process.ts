// The remote side of a storm, a process of its own: an SMTP server that takes its time and tells what arrived.
// Owns: the latency (a remote host's own queueing, scanning and storing, before its 250) and the arrival times.
// Usage: node sink-process.ts '{"seed":1,"latencyMs":[200,300]}'. Writes JSON lines: {"port"}, then {"arrived":[[id, ms],…]}.
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { SMTPServer } from 'smtp-server'
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

const server = new SMTPServer({
  disabledCommands: ['AUTH', 'STARTTLS'],
  disableReverseLookup: true,
  logger: false,
  onData(stream, _session, callback) {
    void (async () => {
      const message = await buffer(stream)
      await sleep(between(random, latencyMs))
      arrived.push([stormIdOf(message) ?? '', Date.now()])
      callback(null, 'taken')
    })().catch((error: unknown) => callback(error as Error))
  },
})
// A peer that goes away is the peer's affair; what arrived is reported.
server.on('error', () => {})

const listening = server.listen(0, '127.0.0.1', () => {
  const address = listening.address()
  if (address !== null && typeof address === 'object') tell({ port: address.port })
})
setInterval(report, REPORT_MS)
process.on('SIGTERM', () => {
  report()
  process.exit(0)
})

function report(): void {
  if (arrived.length > 0) tell({ arrived })
  arrived = []
}

function tell(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
