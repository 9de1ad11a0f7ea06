// Secrets from SSM: read before the server accepts mail, retried, and never printed.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connect as connectPlain } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:tls'
import { reverseSrs, rewriteSrs } from '../../../server/delivery/srs.ts'
import { EMULATOR_ENV } from '../../kit/aws/aws-queue.ts'
import { startMetadata } from '../../kit/aws/metadata.ts'
import { startParameters } from '../../kit/aws/parameters.ts'
import { NO_AWS_CREDENTIALS } from '../../kit/server/fleet-harness.ts'
import {
  launchServer,
  ROUTES,
  SECRET,
  startServer,
  testFolder,
  type ServerProcess,
} from '../../kit/server/server-process.ts'
import { startSmtpSink } from '../../../mailkit/smtp-sink.ts'
import { getOverSocket } from '../../kit/server/unix-socket.ts'
import { openGreetedDialog, sendMail } from '../../../mailkit/smtp-dialog.ts'

const NAME = '/mailfleet/test/srs-secrets'
const TLS = { keyParameter: '/mailfleet/test/tls-key', certParameter: '/mailfleet/test/tls-cert' }
const pem = (name: string) =>
  readFileSync(join(import.meta.dirname, `../../fixtures/tls/${name}.pem`), 'utf8')

async function startFakeSsm(context: TestContext, values: Record<string, string>, settings: object = {}) {
  const parameters = await startParameters(values)
  context.after(parameters.close)
  return {
    parameters,
    options: {
      env: { ...NO_AWS_CREDENTIALS, ...EMULATOR_ENV },
      config: {
        aws: { region: 'eu-west-1', endpoints: { ssm: parameters.url } },
        srs: { domain: 'srs.example.com', secrets: [], secretsParameter: NAME },
        ...settings,
      },
    },
  }
}

/** Makes an SRS address with these secrets. */
const bounce = (secrets: string[]) =>
  rewriteSrs({ domain: 'srs.example.com', secrets }, 'a@sender.example', Date.now())

test('SRS secrets: one a line; the first signs, all verify', async (context) => {
  const other = `${SECRET}-that-was-signed-with-before`
  const { options } = await startFakeSsm(context, { [NAME]: `\n${SECRET}\n${other}\n` })
  const instance = await startServer(options)
  const dialog = await openGreetedDialog(instance.port)
  await dialog.say('MAIL FROM:<>')
  assert.match((await dialog.say(`RCPT TO:<${bounce([SECRET])}>`)) ?? '', /^250/)
  assert.match((await dialog.say(`RCPT TO:<${bounce([other])}>`)) ?? '', /^250/)
  assert.match((await dialog.say(`RCPT TO:<${bounce([`${SECRET}x`])}>`)) ?? '', /^550/)
  dialog.end()
  assert.equal(await instance.stop(), 0)
})

test('rotation in two phases: each instance always accepts the signatures of all others', async (context) => {
  const next = `${SECRET}-that-comes-next`
  const srs = { domain: 'srs.example.com', secrets: [], secretsParameter: NAME, secretsPollMs: 50 }
  const { options, parameters } = await startFakeSsm(context, { [NAME]: SECRET }, { srs })
  const sink = await startSmtpSink()
  const delivery = { relay: { host: '127.0.0.1', port: sink.port } }
  const start = () => startServer({ ...options, config: { ...options.config, delivery } })
  const instances = [await start(), await start()] as const
  const changed = (signsWithAnother: boolean) =>
    Promise.all(
      instances.map(({ logged }) =>
        logged('secrets-changed', (line) => line['signsWithAnother'] === signsWithAnother),
      ),
    )
  const takes = async (secret: string, answer: RegExp) => {
    for (const { port } of instances) {
      const dialog = await openGreetedDialog(port)
      await dialog.say('MAIL FROM:<>')
      assert.match((await dialog.say(`RCPT TO:<${bounce([secret])}>`)) ?? '', answer)
      dialog.end()
    }
  }
  /** Forwards a message. @returns the local part that this instance signed */
  const signed = async ({ port }: ServerProcess) => {
    const dialog = await openGreetedDialog(port)
    const count = sink.mail.length
    await sendMail(dialog, { to: ['info@example.org'] })
    dialog.end()
    for (let waitedMs = 0; sink.mail.length === count && waitedMs < 20_000; waitedMs += 10) await sleep(10)
    return (sink.mail.at(-1)?.from ?? '').split('@')[0] ?? ''
  }
  const isSignedWith = (secret: string, local: string) =>
    reverseSrs({ domain: 'srs.example.com', secrets: [secret] }, local, Date.now()) !== null

  await takes(next, /^550/)
  // Phase one: all instances verify with the next secret, none signs with it.
  parameters.state.values[NAME] = `${SECRET}\n${next}`
  await changed(false)
  await takes(next, /^250/)
  assert.ok(isSignedWith(SECRET, await signed(instances[0])))
  // Phase two: all instances sign with it, and verify older signatures.
  parameters.state.values[NAME] = `${next}\n${SECRET}`
  await changed(true)
  await takes(SECRET, /^250/)
  await takes(next, /^250/)
  assert.ok(isSignedWith(next, await signed(instances[0])))
  // After an unusable value, and in an outage, the last good secrets stay and no value is printed.
  parameters.state.values[NAME] = 'too-short'
  await instances[0].logged('secrets-failed', ({ error }) => /at least 32/.test(String(error)))
  parameters.state.trouble = 'down'
  await instances[1].logged('secrets-failed', ({ code }) => code === 'ECONNRESET')
  await takes(next, /^250/)
  for (const instance of instances) {
    assert.doesNotMatch(JSON.stringify(instance.log), /too-short|that-comes-next/)
    assert.equal(await instance.stop(), 0)
  }
})

test('a TLS key and its certificate: STARTTLS works with them', async (context) => {
  const values = { [NAME]: SECRET, [TLS.keyParameter]: pem('key'), [TLS.certParameter]: pem('cert') }
  const { options } = await startFakeSsm(context, values, { tls: TLS })
  const instance = await startServer(options)
  const socket = connectPlain(instance.port, '127.0.0.1')
  const say = async (line: string) => {
    if (line !== '') socket.write(`${line}\r\n`)
    return String(await new Promise((resolve) => socket.once('data', resolve)))
  }
  await say('')
  assert.match(await say('EHLO client.example'), /STARTTLS/)
  await say('STARTTLS')
  const secure = connect({ socket, rejectUnauthorized: false })
  await new Promise((resolve, reject) => secure.once('secureConnect', resolve).once('error', reject))
  secure.destroy()
  assert.equal(await instance.stop(), 0)
})

test('SSM down: the server waits, healthy and not ready, logs it, and starts when SSM is back', async (context) => {
  const socket = join(testFolder(), 'admin.sock')
  const listen = { admin: { socket, port: undefined } }
  const { options, parameters } = await startFakeSsm(context, { [NAME]: SECRET }, { listen })
  parameters.state.trouble = 'down'
  const starting = launchServer(options)
  const line = await starting.logged('waiting')
  assert.equal(line['for'], `SSM parameter ${NAME}`)
  assert.equal(
    starting.log.some(({ event }) => event === 'listening'),
    false,
  )
  assert.deepEqual(await getOverSocket(socket, '/readyz'), { status: 503, text: 'starting\n' })
  assert.equal((await getOverSocket(socket, '/healthz')).status, 200)
  assert.equal((await getOverSocket(socket, '/metrics')).status, 200)
  parameters.state.trouble = null
  await starting.logged('listening')
  assert.equal((await getOverSocket(socket, '/readyz')).status, 200)
  starting.child.kill('SIGTERM')
  assert.equal(await starting.exited(), 0)
})

test('access denied, then a missing parameter: the server logs the reason and retries', async (context) => {
  const { options, parameters } = await startFakeSsm(context, {})
  parameters.state.trouble = 'denied'
  const starting = launchServer(options)
  const denied = await starting.logged('waiting')
  assert.match(String(denied['error']), /^the instance's role does not allow this: /)
  parameters.state.trouble = null
  await starting.logged('waiting', ({ error }) => error === 'ParameterNotFound')
  parameters.state.values[NAME] = SECRET
  await starting.logged('listening')
  starting.child.kill('SIGTERM')
  assert.equal(await starting.exited(), 0)
})

test('an unusable value: exit 2, with the parameter and the reason, without the value', async (context) => {
  const short = 'short-secret'
  const { options } = await startFakeSsm(context, { [NAME]: `${SECRET}\n${short}` })
  const starting = launchServer(options)
  assert.equal(await starting.exited(), 2)
  assert.match(
    starting.errors(),
    new RegExp(`^${NAME}: 1 problem\\n {2}secrets\\.1: expected a secret of at least 32`),
  )
  assert.doesNotMatch(starting.errors(), new RegExp(`${short}|${SECRET}`))
})

test('an invalid TLS key: exit 2, without any of its text', async (context) => {
  const values = { [NAME]: SECRET, [TLS.keyParameter]: 'no-key-at-all', [TLS.certParameter]: pem('cert') }
  const { options } = await startFakeSsm(context, values, { tls: TLS })
  const starting = launchServer(options)
  assert.equal(await starting.exited(), 2)
  assert.match(
    starting.errors(),
    /tls-key, .*tls-cert: 1 problem\n {2}tls: expected a PEM certificate and its key/,
  )
  assert.doesNotMatch(starting.errors(), /no-key-at-all/)
})

test('no credentials: one log line without a stack trace; a role attached later is enough', async (context) => {
  const metadata = await startMetadata()
  context.after(metadata.close)
  const { options } = await startFakeSsm(context, { [NAME]: SECRET })
  const starting = launchServer({
    ...options,
    routes: ROUTES,
    env: { ...NO_AWS_CREDENTIALS, AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url },
  })
  const line = await starting.logged('aws-credentials')
  assert.match(String(line['error']), /^no AWS credentials: /)
  await starting.logged('waiting', ({ code }) => code === 'CredentialsProviderError')
  assert.equal(starting.errors(), '')
  metadata.state.role = 'mailfleet'
  await starting.logged('listening')
  starting.child.kill('SIGTERM')
  assert.equal(await starting.exited(), 0)
})
