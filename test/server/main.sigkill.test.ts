// kill -9 under load: every message with a 250 arrives. First with the queue alone, then with whole servers over SMTP.
// SIGKILL does not test flushing, since the kernel's cache survives it. The tests that cut a VM's power do.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEmbeddedQueue } from '../../server/queue/embedded/engine.ts'
import { startServer } from '../kit/server/server-process.ts'
import { folderFor } from '../kit/queue/embedded-harness.ts'
import { startMailboxes, startCrashSenders } from '../kit/crash/mail.ts'
import { seeded } from '../kit/crash/random.ts'
import { openTally, type Tally } from '../kit/crash/tally.ts'
import { keepRunning, type Running } from '../kit/crash/victims.ts'

/** `mailfleet test --full` kills six times as often. */
const TIMES = process.env['MAILFLEET_FULL'] === '1' ? 6 : 1
const QUEUE_ROUNDS = 40 * TIMES
const SERVER_ROUNDS = 25 * TIMES
const SERVERS = 2
const SENDERS = 8

/** Within this time, leases of killed processes expire and the backlog is delivered. */
const TIMEOUT_MS = 30_000

test('the queue: storing and delivering processes are killed, and no stored entry is lost', async (t) => {
  const random = seeded(t)
  const path = folderFor(t)
  const tally = openTally()
  const damaged: string[] = []
  const start = (role: string) => () => startQueueProcess(path, role, tally, damaged)
  const victims = keepRunning(['enqueue', 'enqueue', 'work', 'work'].map(start))
  try {
    await victims.allUp()
    for (let i = 0; i < QUEUE_ROUNDS; i++) await victims.round(random)
    await victims.allUp()
    victims.mayEnd()
    for (const enqueuer of victims.up().filter(({ role }) => role === 'enqueue')) enqueuer.kill()
    await emptied(path)
  } finally {
    await victims.killAll()
  }

  report(t, QUEUE_ROUNDS, tally)
  assert.deepEqual(damaged, [])
  assert.deepEqual(tally.missing(), [])
  assert.ok(tally.promised() > 4 * QUEUE_ROUNDS, 'there was load')
})

test('two servers on one queue are killed repeatedly, and every message with a 250 arrives', async (t) => {
  const random = seeded(t)
  const folder = folderFor(t)
  const queuePath = join(folder, 'spool')
  const tally = openTally()
  const damaged: string[] = []
  const sink = await startMailboxes(random, tally, damaged)
  t.after(() => sink.close())
  const victims = keepRunning(
    Array.from({ length: SERVERS }, () => () => startKillableServer(t, queuePath, sink.port)),
  )
  const sending = startCrashSenders(SENDERS, random, tally, () => victims.up().map(({ port }) => port))
  const codes: unknown[] = []
  try {
    await victims.allUp()
    for (let i = 0; i < SERVER_ROUNDS; i++) {
      await sending.accepted()
      await victims.round(random)
    }
    await sending.stop()
    await victims.allUp()
    victims.mayEnd()
    await emptied(queuePath)
    codes.push(...(await Promise.all(victims.up().map((server) => server.stop()))))
  } finally {
    await Promise.all([sending.stop(), victims.killAll()])
  }

  report(t, SERVER_ROUNDS, tally)
  assert.deepEqual(codes, Array(SERVERS).fill(0), 'those that were not killed end in order')
  assert.deepEqual(damaged, [])
  assert.deepEqual(tally.missing(), [])
  assert.ok(tally.promised() > 4 * SERVER_ROUNDS, 'there was load')
})

async function startKillableServer(t: TestContext, queuePath: string, sinkPort: number) {
  const server = await startServer({
    folder: folderFor(t),
    config: {
      queue: { path: queuePath, volatile: false },
      delivery: { relay: { host: '127.0.0.1', port: sinkPort }, leaseMs: 1000, concurrency: 20 },
      retry: { firstMs: 100, maxMs: 200 },
    },
  })
  return {
    port: server.port,
    stop: server.stop,
    kill: () => void server.signal('SIGKILL'),
    exited: server.exited(),
  }
}

async function startQueueProcess(path: string, role: string, tally: Tally, damaged: string[]) {
  const program = join(import.meta.dirname, '../kit/crash/queue-process.ts')
  // The kernel kills the child when its parent ends.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, program, path, role], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const up = Promise.withResolvers<void>()
  const lines = createInterface({ input: child.stdout })
  const read = new Promise<void>((resolve) => lines.once('close', resolve))
  lines.on('line', (line) => {
    const [what, id = ''] = line.split(' ')
    if (what === 'up') up.resolve()
    else if (what === 'stored') tally.promise(id)
    else if (what === 'done') tally.arrive(id)
    else damaged.push(line)
  })
  child.once('exit', (code) => up.reject(new Error(`the ${role} process ended by itself with ${code}`)))
  await up.promise
  return { role, kill: () => void child.kill('SIGKILL'), exited: read } satisfies Running & { role: string }
}

/** Waits until the queue is empty, and checks that its counters agree with its entries. */
async function emptied(path: string): Promise<void> {
  const queue = await openEmbeddedQueue({ path, maxEntries: 1, maxBytes: 1, volatile: false })
  try {
    const deadline = Date.now() + TIMEOUT_MS
    while (queue.stats().entries > 0) {
      assert.ok(Date.now() < deadline, `still queued: ${JSON.stringify(queue.stats())}`)
      await sleep(20)
    }
    assert.equal(queue.stats().bytes, 0)
  } finally {
    await queue.close()
  }
}

function report(t: TestContext, rounds: number, tally: Tally): void {
  t.diagnostic(
    `${rounds} rounds, ${tally.promised()} accepted, ${tally.arrived()} delivered, ${tally.duplicates()} duplicates`,
  )
}
