// The configuration of an instance, from user data or a systemd credential, and the retries of the metadata service.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startMetadata } from '../../kit/aws/metadata.ts'
import { NO_AWS_CREDENTIALS } from '../../kit/server/fleet-harness.ts'
import {
  launchServer,
  SECRET,
  startServer,
  testFolder,
  type ServerProcessOptions,
} from '../../kit/server/server-process.ts'

function config(folder: string): string {
  writeFileSync(join(folder, 'routes.json'), '{ "domains": {} }')
  return JSON.stringify({
    hostname: 'mx9.example.net',
    postmaster: 'ops@mailbox.example',
    listen: { smtp: { host: '127.0.0.1', port: 0 }, admin: { port: 0 } },
    queue: { path: join(folder, 'spool'), volatile: true },
    routes: { file: join(folder, 'routes.json') },
    srs: { domain: 'srs.example.com', secrets: [SECRET] },
  })
}

const fromInstance = (url: string, env: NodeJS.ProcessEnv = {}): ServerProcessOptions => ({
  args: ['--config-from-instance'],
  env: { ...NO_AWS_CREDENTIALS, AWS_EC2_METADATA_SERVICE_ENDPOINT: url, ...env },
})

test('the configuration comes from user data, read with a token', async (context) => {
  const fake = await startMetadata({ userData: config(testFolder()) })
  context.after(fake.close)
  const instance = await startServer(fromInstance(fake.url))
  assert.deepEqual(fake.asked, ['PUT /latest/api/token', 'GET /latest/user-data'])
  assert.equal(await instance.stop(), 0)
})

test('a systemd credential comes before user data, and the metadata service gets no request', async (context) => {
  const fake = await startMetadata({ userData: '{}' })
  context.after(fake.close)
  const folder = testFolder()
  mkdirSync(join(folder, 'credentials'))
  writeFileSync(join(folder, 'credentials/mailfleet.config'), config(folder))
  const instance = await startServer(
    fromInstance(fake.url, { CREDENTIALS_DIRECTORY: join(folder, 'credentials') }),
  )
  assert.deepEqual(fake.asked, [])
  assert.equal(await instance.stop(), 0)
})

test('bad user data: exit 2, with every problem and the source, without any secret', async (context) => {
  const secret = 'too-short-a-secret'
  const userData = { ...(JSON.parse(config(testFolder())) as object), hostname: 'mx9' }
  const bad = { ...userData, srs: { domain: 'srs.example.com', secrets: [secret] } }
  const fake = await startMetadata({ userData: JSON.stringify(bad) })
  context.after(fake.close)
  const starting = launchServer(fromInstance(fake.url))
  assert.equal(await starting.exited(), 2)
  assert.match(
    starting.errors(),
    /^user data of the instance: 2 problems\n {2}hostname: .*\n {2}srs\.secrets\.0:/,
  )
  assert.doesNotMatch(starting.errors(), new RegExp(secret))
})

test('no user data, or user data that is not JSON: exit 2', async (context) => {
  const fake = await startMetadata()
  context.after(fake.close)
  const without = launchServer(fromInstance(fake.url))
  assert.equal(await without.exited(), 2)
  assert.match(
    without.errors(),
    /user data of the instance: 1 problem\n.*or a credential mailfleet\.config, found nothing/,
  )
  fake.state.userData = '{ "hostname": '
  const broken = launchServer(fromInstance(fake.url))
  assert.equal(await broken.exited(), 2)
  assert.match(broken.errors(), /user data of the instance: \d problem/)
})

test('the server retries a metadata service that is down, then throttled', async (context) => {
  const fake = await startMetadata({ userData: config(testFolder()), trouble: 'down' })
  context.after(fake.close)
  const starting = launchServer(fromInstance(fake.url))
  await starting.logged('waiting', (line) => line['for'] === 'user data')
  fake.state.trouble = 'throttled'
  await starting.logged('waiting', (line) => /HTTP 503/.test(String(line['error'])))
  fake.state.trouble = null
  await starting.logged('listening')
  starting.child.kill('SIGTERM')
  assert.equal(await starting.exited(), 0)
})

test('a stop signal during the retries: exit 0 at once', async (context) => {
  const fake = await startMetadata({ trouble: 'down' })
  context.after(fake.close)
  const starting = launchServer(fromInstance(fake.url))
  await starting.logged('waiting')
  starting.child.kill('SIGTERM')
  assert.equal(await starting.exited(), 0)
  assert.equal(starting.log.at(-1)?.event, 'stopped')
})

test('exactly one source of the configuration must be named', async () => {
  const file = join(testFolder(), 'config.json')
  for (const args of [[], ['--config', file, '--config-from-instance'], ['--confg', file]]) {
    const starting = launchServer({ args })
    assert.equal(await starting.exited(), 2)
    assert.match(starting.errors(), /^arguments: 1 problem\n.*--config FILE, or --config-from-instance/)
  }
  assert.throws(() => readFileSync(file), /ENOENT/)
})
