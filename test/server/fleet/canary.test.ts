// An instance of a fleet is ready once its canary has come back, and stays ready. No other host can send a canary, and a
// canary counts as no mail.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startCanary } from '../../../server/fleet/canary.ts'
import { createMetrics } from '../../../server/metrics.ts'
import { watchReadiness } from '../../../server/fleet/readiness.ts'
import { createCanaryGate, canaryEntry } from '../../../server/smtp/canary.ts'
import { openEmbeddedQueue } from '../../../server/queue/embedded/engine.ts'
import type { NewEntry } from '../../../server/queue/entry.ts'
import type { QueueProblem } from '../../../server/queue/queue.ts'
import type { Routes } from '../../../server/routing/table.ts'
import { startServer, testFolder } from '../../kit/server/server-process.ts'
import { startSmtpSink } from '../../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail } from '../../../mailkit/smtp-dialog.ts'
import { startFleetHarness } from '../../kit/server/fleet-harness.ts'

const HERE = { localAddress: '127.0.0.1', remoteAddress: '127.0.0.1' }

test('the gate admits only the last issued address, and only from this host', () => {
  const gate = createCanaryGate('mx1.example.net')
  const first = gate.issue()
  assert.match(first, /^canary\+[0-9a-f]{32}@mx1\.example\.net$/)
  assert.equal(gate.admits(first, HERE), true)
  assert.equal(gate.admits(first, { localAddress: '192.0.2.1', remoteAddress: '192.0.2.1' }), true)
  assert.equal(gate.admits(first, { localAddress: '192.0.2.1', remoteAddress: '192.0.2.2' }), false)
  assert.equal(gate.admits(first.replace('mx1', 'mx2'), HERE), false)
  const second = gate.issue()
  assert.equal(gate.admits(first, HERE), false)
  assert.equal(gate.admits(second, HERE), true)
})

test('the gate admits nothing before it has issued an address', () => {
  const gate = createCanaryGate('mx1.example.net')
  assert.equal(gate.admits('canary+null@mx1.example.net', HERE), false)
  assert.equal(gate.admits('', HERE), false)
})

test('an instance is ready after the round trip, and the canary counts as no mail and no delivery', async (context) => {
  const { env, config } = await startFleetHarness(context)
  const instance = await startServer({ env, config })
  const back = await instance.logged('canary-back')
  await instance.logged('ready')
  assert.equal(typeof back['id'], 'string')
  assert.equal((await instance.admin('/readyz')).status, 200)
  assert.equal(await instance.metric('mailfleet_messages_accepted_total'), 0)
  for (const result of ['delivered', 'deferred', 'failed'])
    assert.equal(await instance.metric(`mailfleet_deliveries_total{result="${result}"}`), 0)
  for (const name of ['ready', 'in_flight', 'deferred'])
    assert.equal(await instance.metric(`mailfleet_queue_${name}`), 0)
  assert.equal(
    instance.log.some(({ event }) => ['accepted', 'delivered', 'dsn'].includes(event)),
    false,
  )
  assert.equal(await instance.stop(), 0)
})

test('a canary of another host is ordinary mail', async (context) => {
  const { env, config } = await startFleetHarness(context)
  const instance = await startServer({ env, config })
  await instance.logged('ready')
  const dialog = await openGreetedDialog(instance.port)
  const address = `canary+${'0'.repeat(32)}@mx1.example.net`
  const [mail, rcpt] = await sendMail(dialog, { from: address, to: [address] })
  assert.match(mail ?? '', /^250/)
  assert.match(rcpt ?? '', /^550 5\.7\.1/)
  dialog.end()
  assert.equal(await instance.stop(), 0)
})

test('an instance without a fleet sends no canary', async () => {
  const instance = await startServer({})
  assert.equal((await instance.admin('/readyz')).status, 200)
  assert.equal(await instance.stop(), 0)
  assert.equal(
    instance.log.some(({ event }) => event.startsWith('canary') || event === 'ready'),
    false,
  )
})

/** Mail as it waits in a backlog. */
function waiting(nowMs: number): NewEntry {
  const address = 'a@b.example'
  const originalRecipient = 'info@example.org'
  const state = { state: 'pending', reply: '', status: '', remoteHost: '' } as const
  const entry: NewEntry = {
    ...canaryEntry(0, nowMs),
    destinations: [{ address, originalRecipient, ...state }],
  }
  delete entry.canary
  return entry
}

test('an instance behind a full backlog becomes ready, and its canary is not counted as refused', async (context) => {
  const { env, config } = await startFleetHarness(context)
  const sink = await startSmtpSink()
  const folder = testFolder()
  const options = { maxEntries: 100, maxBytes: 10_000_000, volatile: true }
  const queue = await openEmbeddedQueue({ path: join(folder, 'spool'), ...options })
  for (let index = 0; index < 100; index++)
    await queue.enqueue(waiting(Date.now()), Buffer.from('Subject: x\r\n\r\nx\r\n'))
  await queue.close()
  const instance = await startServer({
    env,
    folder,
    config: {
      ...config,
      queue: { maxEntries: 100 },
      limits: { readyEntries: 10 },
      delivery: { concurrency: 1, relay: { host: '127.0.0.1', port: sink.port } },
    },
  })
  await instance.logged('ready')
  assert.equal(await instance.metric('mailfleet_refused_demand_total'), 0)
  assert.equal(await instance.stop(), 0)
})

/** A canary against a queue that settles as told, and a listener that is not there until told. */
function withoutListener(settled: () => boolean) {
  const logged: { event: string; fields: object }[] = []
  const stop = new AbortController()
  const address = { host: '127.0.0.1', port: 1 }
  const canary = startCanary({
    hostname: 'mx1.example.net',
    listener: { address },
    gate: createCanaryGate('mx1.example.net'),
    queue: { settled },
    hasSettled: () => false,
    metrics: createMetrics(() => null),
    log: (event, fields = {}) => logged.push({ event, fields }),
    signal: stop.signal,
  })
  return { canary, logged, stop, address }
}

test('an unreachable listener is named and retried, and the instance becomes ready', async (context) => {
  const { canary, logged, stop, address } = withoutListener(() => true)
  context.after(() => stop.abort())
  const readiness = watchReadiness({
    isOpen: () => true,
    routes: { current: () => new Map() },
    queue: { problem: () => null },
    canary,
  })
  while (logged.length < 2) await sleep(5)
  assert.match(readiness.problem() ?? '', /^canary not back: .*ECONNREFUSED/)
  const sink = await startSmtpSink({ data: () => null })
  address.port = sink.port
  // Its reply names no id, as that of a stranger's server.
  while (!logged.some(({ fields }) => /no id in the reply/.test(JSON.stringify(fields)))) await sleep(5)
  assert.match(readiness.problem() ?? '', /no id in the reply: 250 2\.0\.0 received/)
})

test('a ready instance becomes unready only by a drain or a missing spool', async () => {
  let open = true
  let spool: QueueProblem | null = null
  let routes: Routes | null = null
  let problem: string | null = 'canary not back yet'
  const back = Promise.withResolvers<void>()
  const readiness = watchReadiness({
    isOpen: () => open,
    routes: { current: () => routes },
    queue: { problem: () => spool },
    canary: { problem: () => problem, back: back.promise },
  })
  assert.equal(readiness.problem(), 'routes not loaded')
  routes = new Map()
  assert.equal(readiness.problem(), 'canary not back yet')
  problem = null
  back.resolve()
  await readiness.reached
  routes = null
  problem = 'canary not back yet'
  assert.equal(readiness.problem(), null)
  spool = { reason: 'spool-gone', text: 'gone' }
  assert.equal(readiness.problem(), 'gone')
  spool = { reason: 'slow-commit', text: 'slow' }
  assert.equal(readiness.problem(), null)
  open = false
  assert.equal(readiness.problem(), 'draining')
})
