// A real server process as a member of an Auto Scaling group. It enters service when ready and drains when it must go.
// Neither the group's API nor the metadata service holds it up.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEmbeddedQueue } from '../../../server/queue/embedded/engine.ts'
import { startServer, type ServerProcess } from '../../kit/server/server-process.ts'
import { startSmtpSink } from '../../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail, openDialog } from '../../../mailkit/smtp-dialog.ts'
import { startFleetHarness } from '../../kit/server/fleet-harness.ts'

const PATIENCE_MS = 30_000
const LAUNCHED = 'CompleteLifecycleAction launch'
const TERMINATED = 'CompleteLifecycleAction terminate'
const HEARTBEAT = 'RecordLifecycleActionHeartbeat terminate'
const LAUNCH_HEARTBEAT = 'RecordLifecycleActionHeartbeat launch'
const NOT_ACTIVE = ' ValidationError'

async function until(what: () => boolean): Promise<void> {
  for (let waited = 0; !what() && waited < PATIENCE_MS; waited += 5) await sleep(5)
  assert.ok(what(), what.toString())
}

const count = (calls: readonly string[], call: string) => calls.filter((made) => made === call).length

/** Mail is taken and answered as ever. */
async function serves(instance: ServerProcess): Promise<void> {
  const dialog = await openGreetedDialog(instance.port)
  assert.match((await sendMail(dialog, { to: ['info@example.org'] })).at(-1) ?? '', /^250/)
  dialog.end()
  assert.equal((await instance.admin('/readyz')).status, 200)
}

test('a ready instance completes the launch action once', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context)
  const instance = await startServer({ env, config })
  await instance.logged('launch-completed')
  assert.equal(autoScaling.state.state, 'InService')
  const looks = metadata.asked.length
  await until(() => metadata.asked.length > looks + 10)
  assert.equal(count(autoScaling.calls, LAUNCHED), 1)
  assert.equal(await instance.stop(), 0)
  assert.equal(count(autoScaling.calls, TERMINATED), 0)
})

/** Routes in an S3 that does not answer. */
function withoutRoutes({ aws, fleet, ...config }: Awaited<ReturnType<typeof startFleetHarness>>['config']) {
  const endpoints = { ...aws.endpoints, s3: 'http://127.0.0.1:1' }
  const routes = { file: undefined, bucket: 'mail', key: 'routes.yaml' }
  return { ...config, routes, aws: { endpoints }, fleet }
}

test('an instance without routes keeps the group waiting', async (context) => {
  const { env, config, autoScaling } = await startFleetHarness(context)
  const instance = await startServer({ env, config: withoutRoutes(config) })
  await until(() => count(autoScaling.calls, LAUNCH_HEARTBEAT) >= 3)
  assert.equal(await (await instance.admin('/readyz')).text(), 'routes not loaded\n')
  assert.deepEqual((await instance.logged('heartbeat'))['outage'], 'routes not loaded')
  assert.equal(count(autoScaling.calls, LAUNCHED), 0)
  assert.equal(await instance.stop(), 0)
})

test('an instance that is not ready for too long stops keeping the group waiting', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context)
  const fleet = { ...config.fleet, launchWaitMs: 0 }
  const instance = await startServer({ env, config: withoutRoutes({ ...config, fleet }) })
  await instance.logged('launch-overdue')
  const looks = metadata.asked.length
  await until(() => metadata.asked.length > looks + 10)
  assert.deepEqual(autoScaling.calls, [])
  assert.equal(await instance.stop(), 0)
})

test('an instance that is ready too early completes the launch when the group waits for it', async (context) => {
  const { env, config, autoScaling } = await startFleetHarness(context, { group: { state: 'Pending' } })
  const instance = await startServer({ env, config })
  await until(() => autoScaling.calls.includes(`${LAUNCHED}${NOT_ACTIVE}`))
  autoScaling.state.state = 'Pending:Wait'
  await instance.logged('launch-completed')
  assert.equal(count(autoScaling.calls, LAUNCHED), 1)
  assert.equal(await instance.stop(), 0)
})

test('a group without the hook puts the instance into service by itself', async (context) => {
  const { env, config, autoScaling } = await startFleetHarness(context, { group: { state: 'InService' } })
  const instance = await startServer({ env, config })
  await instance.logged('launch-completed')
  assert.equal(count(autoScaling.calls, LAUNCHED), 0)
  assert.equal(await instance.stop(), 0)
})

test('an instance serves while the API of its group fails, and completes the launch afterwards', async (context) => {
  const { env, config, autoScaling } = await startFleetHarness(context, { group: { trouble: 'denied' } })
  const instance = await startServer({ env, config })
  await instance.logged('lifecycle-failed', ({ error }) => /role does not allow this/.test(String(error)))
  autoScaling.state.trouble = 'throttled'
  await instance.logged('lifecycle-failed', ({ error }) => /Rate exceeded/.test(String(error)))
  autoScaling.state.trouble = 'down'
  await instance.logged('lifecycle-failed', ({ code }) => code === 'ECONNRESET')
  await serves(instance)
  autoScaling.state.trouble = null
  await instance.logged('launch-completed')
  assert.notEqual(await instance.metric('mailfleet_errors_total{where="lifecycle"}'), null)
  assert.equal(await instance.stop(), 0)
})

test('an instance serves while the metadata service is down, and drains once it is back', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context)
  const instance = await startServer({ env, config })
  await instance.logged('launch-completed')
  metadata.state.trouble = 'down'
  await instance.logged('lifecycle-failed')
  await serves(instance)
  autoScaling.state.state = 'Terminating:Wait'
  metadata.state.target = 'Terminated'
  metadata.state.trouble = null
  assert.equal(await instance.exited(), 0)
})

test('a terminated instance drains, keeps the group waiting, completes the hook and leaves no lease', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context)
  const held = Promise.withResolvers<null>()
  const sink = await startSmtpSink({ data: () => held.promise })
  const delivery = { relay: { host: '127.0.0.1', port: sink.port }, concurrency: 1 }
  const instance = await startServer({ env, config: { ...config, delivery } })
  await instance.logged('launch-completed')
  const dialog = await openGreetedDialog(instance.port)
  await sendMail(dialog, { to: ['info@example.org'] })
  while ((await instance.metric('mailfleet_deliveries_in_progress')) !== 1) await sleep(10)
  await sendMail(dialog, { to: ['info@example.org'] })
  autoScaling.state.state = 'Terminating:Wait'
  metadata.state.target = 'Terminated'
  assert.match((await dialog.reply()) ?? '', /^421 4\.3\.2/)
  assert.equal((await instance.logged('draining'))['reason'], 'terminating')
  await until(() => count(autoScaling.calls, HEARTBEAT) >= 2)
  assert.equal((await instance.admin('/readyz')).status, 503)
  assert.equal((await instance.admin('/healthz')).status, 200)
  // The load balancer may still send someone: alone with its port, it has to answer.
  const late = await openDialog(instance.port)
  assert.match((await late.reply()) ?? '', /^421 4\.3\.2/)
  late.end()
  assert.equal(late.failure(), null)
  assert.equal(count(autoScaling.calls, TERMINATED), 0)
  held.resolve(null)
  assert.equal(await instance.exited(), 0)
  assert.equal(autoScaling.calls.at(-1), TERMINATED)
  assert.equal(autoScaling.state.state, 'Terminating:Proceed')
  assert.equal(sink.mail.length, 1)
  const options = { maxEntries: 10, maxBytes: 1_000_000, volatile: true }
  const queue = await openEmbeddedQueue({ path: join(instance.folder, 'spool'), ...options })
  const { ready, inFlight } = queue.stats()
  assert.deepEqual({ ready, inFlight }, { ready: 1, inFlight: 0 })
  await queue.close()
})

test('a spot notice drains the instance without a call to the group', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context)
  const instance = await startServer({ env, config })
  await instance.logged('launch-completed')
  metadata.state.spot = { action: 'terminate', time: new Date(Date.now() + 120_000).toISOString() }
  assert.equal(await instance.exited(), 0)
  assert.equal((await instance.logged('draining'))['reason'], 'spot-interruption')
  assert.equal(count(autoScaling.calls, TERMINATED), 0)
})

test('a terminating instance completes the hook after SIGTERM too', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context)
  // Polls so rarely that only the signal tells.
  const fleet = { ...config.fleet, pollMs: 60_000 }
  const instance = await startServer({ env, config: { ...config, fleet } })
  await instance.logged('launch-completed')
  autoScaling.state.state = 'Terminating:Wait'
  metadata.state.target = 'Terminated'
  assert.equal(await instance.stop(), 0)
  assert.equal((await instance.logged('draining'))['reason'], 'SIGTERM')
  assert.equal(autoScaling.calls.at(-1), TERMINATED)
})

test('an instance that drained early completes the hook when the group waits for it', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context)
  const instance = await startServer({ env, config })
  await instance.logged('launch-completed')
  autoScaling.state.state = 'Terminating'
  metadata.state.target = 'Terminated'
  await until(() => autoScaling.calls.includes(`${TERMINATED}${NOT_ACTIVE}`))
  autoScaling.state.state = 'Terminating:Wait'
  assert.equal(await instance.exited(), 0)
  assert.equal(autoScaling.calls.at(-1), TERMINATED)
})

test('new connections get 421 during 300 s of deregistration, then the hook is completed', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context, {
    group: { clockSpeed: 30 },
  })
  // The drain's own bound is over long before deregistration is.
  const instance = await startServer({ env, config: { ...config, drain: { timeoutMs: 1_000 } } })
  await instance.logged('launch-completed')
  autoScaling.terminate()
  metadata.state.target = 'Terminated'
  await instance.logged('drained')
  let heard = 0
  for (; autoScaling.state.state === 'Terminating'; await sleep(200)) {
    const late = await openDialog(instance.port)
    assert.match((await late.reply()) ?? '', /^421 4\.3\.2/)
    late.end()
    assert.equal(late.failure(), null)
    assert.equal((await instance.admin('/healthz')).status, 200)
    assert.equal((await instance.admin('/metrics')).status, 200)
    heard++
  }
  assert.ok(heard > 10, `${heard} connections while the group deregistered`)
  assert.equal(await instance.exited(), 0)
  assert.equal(autoScaling.state.state, 'Terminating:Proceed')
  assert.equal(autoScaling.calls.at(-1), TERMINATED)
})

test('an instance ends at its time limit when the hook never begins', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context)
  const fleet = { ...config.fleet, terminateWaitMs: 2_000 }
  const instance = await startServer({ env, config: { ...config, fleet, drain: { timeoutMs: 1_000 } } })
  await instance.logged('launch-completed')
  autoScaling.state.state = 'Terminating'
  metadata.state.target = 'Terminated'
  assert.equal(await instance.exited(), 0)
  await instance.logged('termination-not-awaited')
})

test('an instance ends at once when its group no longer waits', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context)
  const instance = await startServer({ env, config })
  await instance.logged('launch-completed')
  autoScaling.state.state = 'Terminating:Proceed'
  metadata.state.target = 'Terminated'
  assert.equal(await instance.exited(), 0)
  await instance.logged('termination-over')
})

test('an instance that only waits for its group ends at once on SIGTERM', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context)
  const instance = await startServer({ env, config })
  await instance.logged('launch-completed')
  autoScaling.state.state = 'Terminating'
  metadata.state.target = 'Terminated'
  await instance.logged('drained')
  await until(() => autoScaling.calls.includes(`${TERMINATED}${NOT_ACTIVE}`))
  assert.equal(await instance.stop(), 0)
  await instance.logged('termination-not-awaited')
})

test('an API that is down does not keep the instance past its time limit', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context)
  const fleet = { ...config.fleet, terminateWaitMs: 1_500 }
  const instance = await startServer({ env, config: { ...config, fleet, drain: { timeoutMs: 1_500 } } })
  await instance.logged('launch-completed')
  autoScaling.state.trouble = 'down'
  metadata.state.target = 'Terminated'
  assert.equal(await instance.exited(), 0)
  await instance.logged('termination-not-awaited')
})

test('an instance completes the launch into and out of a warm pool, and does not drain inside it', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context, {
    metadata: { target: 'Warmed:Running' },
    group: { state: 'Warmed:Pending:Wait' },
  })
  const instance = await startServer({ env, config })
  await instance.logged('launch-completed', ({ target }) => target === 'Warmed:Running')
  for (const target of ['Warmed:Hibernated', 'Warmed:Stopped']) {
    metadata.state.target = target
    await instance.logged('launch-completed', (line) => line['target'] === target)
  }
  autoScaling.state.state = 'Pending:Wait'
  metadata.state.target = 'InService'
  await instance.logged('launch-completed', ({ target }) => target === 'InService')
  assert.equal(count(autoScaling.calls, LAUNCHED), 2)
  assert.equal(
    instance.log.some(({ event }) => event === 'draining'),
    false,
  )
  assert.equal(await instance.stop(), 0)
})

test('an instance in no group serves and makes no call', async (context) => {
  const { env, config, autoScaling, metadata } = await startFleetHarness(context, {
    metadata: { target: null },
  })
  const instance = await startServer({ env, config })
  await instance.logged('ready')
  const looks = metadata.asked.length
  await until(() => metadata.asked.length > looks + 10)
  await serves(instance)
  assert.equal(await instance.stop(), 0)
  assert.deepEqual(autoScaling.calls, [])
})
