// The deployed bundle, run as Lambda runs it: a CommonJS file whose `handler` gets a context.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { BUNDLE_FILE, BUNDLE_HANDLER, lambdaBundle } from '../../../infra/lambda/bundle.ts'
import { pulseClients } from '../../../infra/pulse/pulse.ts'
import type { PulseSettings } from '../../../infra/pulse/settings.ts'
import { startMoto } from '../../kit/aws/moto.ts'
import { makeFleet, patient, published } from '../../kit/fleet/moto-fleet.ts'

const pulseBundle = () => lambdaBundle(join(import.meta.dirname, '../../../infra/pulse/handler.ts'))

const moto = await startMoto()
const { skip } = moto
const clients = pulseClients(moto.client, patient)

const folder = mkdtempSync(join(tmpdir(), 'mailfleet-test-'))
after(() => rmSync(folder, { recursive: true, force: true }))
writeFileSync(join(folder, BUNDLE_FILE), pulseBundle())

type Invoked = { code: number; stdout: string; stderr: string }

/** One invocation with time for the current slot, in a process with only Lambda's environment. */
function invoke(
  settings: PulseSettings | undefined,
  environment: Record<string, string> = {},
): Promise<Invoked> {
  const [file = '', name = ''] = BUNDLE_HANDLER.split('.')
  const program = `require('./${file}').${name}({}, { getRemainingTimeInMillis: () => 10_500 })`
  const own = settings === undefined ? {} : { ...settings, POLICY: JSON.stringify(settings.POLICY) }
  const options = { cwd: folder, env: { ...moto.env, ...own, ...environment } }
  return new Promise((resolve) => {
    execFile(process.execPath, ['-e', program], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : 1, stdout, stderr })
    })
  })
}

/** The deployed time limits apply. A machine under load may exceed them; then this tries the next slot. */
async function invokeUntil(expected: RegExp, settings: PulseSettings): Promise<Invoked> {
  let last = await invoke(settings)
  for (let tries = 1; tries < 10 && !expected.test(last.stdout); tries += 1) last = await invoke(settings)
  assert.match(last.stdout, expected, last.stderr)
  return last
}

test('the handler measures, publishes with the slot’s timestamp, and logs it', { skip }, async () => {
  const settings = await makeFleet(clients, { ready: { visible: 3 }, instances: 1 })
  const { code, stdout, stderr } = await invokeUntil(/"event":"measured"/, settings)
  assert.equal(code, 0, stderr)
  const line = stdout.split('\n').find((each) => each.includes('"measured"'))
  const said = JSON.parse(line ?? '') as { event: string; slot: string; Demand: number }
  assert.equal(said.event, 'measured')
  assert.equal(said.Demand, 3)
  const slotMs = Date.parse(said.slot)
  assert.equal(slotMs % 10_000, 0)
  const seen = await published(clients.cloudWatch, settings.FLEET, slotMs)
  assert.ok(seen['Demand']?.some(({ value, atMs }) => value === 3 && atMs === slotMs))
})

test('a failed measurement is logged with its reason and is no error of the function', { skip }, async () => {
  const settings = { ...(await makeFleet(clients, { instances: 1 })), GROUP: 'nobody' }
  const { code, stdout } = await invoke(settings)
  assert.equal(code, 0)
  assert.match(stdout, /"event":"failed".*no Auto Scaling group nobody/)
})

test('the handler throws at the end when CloudWatch takes no slot', { skip }, async () => {
  const settings = await makeFleet(clients, { instances: 1 })
  // No process listens on port 9 of 127.0.0.1.
  const { code, stderr } = await invoke(settings, { AWS_ENDPOINT_URL_CLOUDWATCH: 'http://127.0.0.1:9' })
  assert.equal(code, 1)
  assert.match(stderr, /CloudWatch did not take \d slots?/)
})

test('without settings it fails at load and names every variable', async () => {
  const { code, stderr } = await invoke(undefined)
  assert.equal(code, 1)
  for (const name of ['FLEET', 'GROUP', 'READY_URL', 'DEFERRED_URL', 'TABLE', 'POLICY']) {
    assert.match(stderr, new RegExp(`${name}: expected`))
  }
})

test('the bundle is reproducible and contains no path of this machine', () => {
  const text = pulseBundle()
  assert.equal(pulseBundle(), text)
  assert.ok(!text.includes(join(import.meta.dirname, '../../..')))
})
