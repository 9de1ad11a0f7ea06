// A server on SQS, S3 and DynamoDB through an outage, at its start and later. Senders get 4xx and the server stays
// healthy. It is ready after its canary, stays ready, and recovers without a restart.
import assert from 'node:assert/strict'
import { after, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startAwsProxy, THROTTLED, UNAVAILABLE, type AwsProxy } from '../../kit/aws/aws-proxy.ts'
import { startAwsQueue } from '../../kit/aws/aws-queue.ts'
import { startServer, type ServerProcess } from '../../kit/server/server-process.ts'
import { startSmtpSink } from '../../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail } from '../../../mailkit/smtp-dialog.ts'
import { startFleetHarness } from '../../kit/server/fleet-harness.ts'

const PATIENCE_MS = 60_000
const LAUNCH_HEARTBEAT = 'RecordLifecycleActionHeartbeat launch'

const emulators = await startAwsQueue()
after(() => emulators.stop())

/** A member on stores of its own, behind a proxy that lets calls fail. */
async function setting(context: TestContext, fault: AwsProxy['fault'] = () => null) {
  const member = await startFleetHarness(context)
  const proxy = await startAwsProxy(emulators.endpoints)
  context.after(() => proxy.stop())
  proxy.fault = fault
  const sink = await startSmtpSink()
  const stores = await emulators.createStores()
  const options = {
    env: member.env,
    config: {
      ...member.config,
      aws: { endpoints: { ...member.config.aws.endpoints, ...proxy.endpoints } },
      queue: { ...stores.queue, path: undefined, volatile: undefined, waitSeconds: 0, statsMs: 50 },
      delivery: { relay: { host: '127.0.0.1', port: sink.port } },
    },
  }
  return { ...member, proxy, sink, stores, options }
}

const statusOf = async (instance: ServerProcess, path: string) => (await instance.admin(path)).status

/** Waits until `path` of the admin endpoint says `text`. */
async function says(instance: ServerProcess, path: string, text: RegExp): Promise<void> {
  const deadlineMs = Date.now() + PATIENCE_MS
  for (let said = ''; !text.test(said); await sleep(20)) {
    said = await (await instance.admin(path)).text()
    assert.ok(Date.now() < deadlineMs, said)
  }
}

/** The reply to MAIL, in a session of its own. */
async function mailReply(instance: ServerProcess): Promise<string> {
  const dialog = await openGreetedDialog(instance.port)
  const reply = (await dialog.say('MAIL FROM:<a@sender.example>')) ?? ''
  dialog.end()
  return reply
}

async function mailReplies(instance: ServerProcess, expected: RegExp): Promise<void> {
  const deadlineMs = Date.now() + PATIENCE_MS
  for (let reply = ''; !expected.test(reply); await sleep(20)) {
    reply = await mailReply(instance)
    assert.ok(Date.now() < deadlineMs, reply)
  }
}

test('with SQS down at the start, an instance replies 451, is healthy and not ready, then recovers', async (context) => {
  const { proxy, options, sink, autoScaling } = await setting(context, ({ service }) =>
    service === 'sqs' ? UNAVAILABLE : null,
  )
  const instance = await startServer(options)
  assert.match(await mailReply(instance), /^451 4\.3\.0 Queue not available/)
  await instance.logged('canary-failed')
  await says(instance, '/readyz', /^canary not back: .*451/)
  assert.equal(await statusOf(instance, '/readyz'), 503)
  assert.equal(await statusOf(instance, '/healthz'), 200)
  await instance.logged(
    'heartbeat',
    ({ outage, waiting }) => /^queue: /.test(String(outage)) && waiting === true,
  )
  assert.ok(autoScaling.calls.includes(LAUNCH_HEARTBEAT))
  proxy.fault = () => null
  await instance.logged('launch-completed')
  assert.equal(await statusOf(instance, '/readyz'), 200)
  await mailReplies(instance, /^250/)
  const dialog = await openGreetedDialog(instance.port)
  assert.match((await sendMail(dialog, { to: ['info@example.org'] })).at(-1) ?? '', /^250/)
  dialog.end()
  await instance.logged('delivered')
  assert.equal(sink.mail.length, 1)
  assert.equal(await instance.stop(), 0)
})

test('an instance whose canary does not come back is not ready and says so', async (context) => {
  const { proxy, options, autoScaling, metadata } = await setting(context, ({ name }) =>
    name === 'ReceiveMessage' ? THROTTLED : null,
  )
  const instance = await startServer(options)
  await says(instance, '/readyz', /^canary not back yet/)
  await instance.logged('lease-failed')
  const looks = metadata.asked.length
  while (metadata.asked.length < looks + 20) await sleep(20)
  assert.ok(!autoScaling.calls.includes(LAUNCH_HEARTBEAT), 'whatever it asks answers')
  assert.equal(await statusOf(instance, '/readyz'), 503)
  assert.equal(await statusOf(instance, '/healthz'), 200)
  proxy.fault = () => null
  await instance.logged('ready')
  assert.equal(await instance.stop(), 0)
})

test('a ready instance stays ready and healthy with all of AWS down, replies 451, and recovers', async (context) => {
  const { proxy, options } = await setting(context)
  const instance = await startServer(options)
  await instance.logged('ready')
  proxy.fault = () => 'cut'
  await mailReplies(instance, /^451/)
  assert.equal(await statusOf(instance, '/readyz'), 200)
  assert.equal(await statusOf(instance, '/healthz'), 200)
  proxy.fault = () => null
  await mailReplies(instance, /^250/)
  assert.equal(await instance.stop(), 0)
})

test('an instance without credentials says so in one sentence and recovers when a role is attached', async (context) => {
  const { metadata, options } = await setting(context)
  const env = { ...options.env, AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined }
  const instance = await startServer({ ...options, env })
  assert.match(String((await instance.logged('aws-credentials'))['error']), /^no AWS credentials: /)
  assert.match(await mailReply(instance), /^451/)
  assert.equal(await statusOf(instance, '/healthz'), 200)
  metadata.state.role = 'mailfleet'
  await instance.logged('launch-completed')
  assert.equal(instance.log.filter(({ event }) => event === 'aws-credentials').length, 1)
  assert.equal(await instance.stop(), 0)
})

test('a terminated instance on AWS leaves no lease', async (context) => {
  const { metadata, autoScaling, options, stores } = await setting(context)
  const instance = await startServer(options)
  await instance.logged('launch-completed')
  autoScaling.state.state = 'Terminating:Wait'
  metadata.state.target = 'Terminated'
  assert.equal(await instance.exited(), 0)
  assert.equal(autoScaling.state.state, 'Terminating:Proceed')
  for (const name of [stores.names.ready, stores.names.deferred])
    assert.equal(emulators.fauxqs.inspectQueue(name)?.messages.inflight.length, 0)
  assert.equal(emulators.deadLetters(stores), 0)
})
