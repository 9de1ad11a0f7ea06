// Bad configurations, one folder each with the expected error; the defaults of a good one; and the exit code.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { InputError } from '../../../input/problems.ts'
import { loadConfig } from '../../../server/config/load.ts'
import { SECRET, spawnServer, testFolder } from '../../kit/server/server-process.ts'

const folder = join(import.meta.dirname, '../../fixtures/bad-configs')

for (const name of readdirSync(folder).sort()) {
  test(`bad config: ${name.replaceAll('-', ' ')}`, () => {
    const file = join(folder, name, 'config.yaml')
    assert.throws(
      () => loadConfig(file),
      (error) => {
        assert.ok(error instanceof InputError)
        const expected = readFileSync(join(folder, name, 'expected.txt'), 'utf8')
        assert.equal(`${error.message.replace(file, 'config.yaml')}\n`, expected)
        return true
      },
    )
  })
}

const MINIMAL = {
  hostname: 'MX1.example.net',
  postmaster: 'ops@mailbox.example',
  listen: { smtp: { port: 25 }, admin: { socket: '/run/admin.sock' } },
  queue: { path: '/var/spool/mailfleet' },
  routes: { file: '/etc/mailfleet/routes.yaml' },
  srs: { domain: 'SRS.example.com', secrets: [SECRET] },
}

function written(settings: object): string {
  const file = join(testFolder(), 'config.json')
  writeFileSync(file, JSON.stringify(settings))
  return file
}

test('a minimal config gets every default, and its names in lower case', () => {
  const { config, tls } = loadConfig(written(MINIMAL))
  assert.equal(tls, null)
  assert.equal(config.hostname, 'mx1.example.net')
  assert.equal(config.srs.domain, 'srs.example.com')
  assert.deepEqual(config.queue, {
    engine: 'embedded',
    path: '/var/spool/mailfleet',
    volatile: false,
    maxEntries: 100_000,
    maxBytes: 10_737_418_240,
    flush: true,
  })
  assert.equal(config.limits.messageBytes, 36_700_160)
  assert.equal(config.delivery.concurrency, 10)
  assert.equal(config.retry.lifetimeMs, 432_000_000)
  assert.equal(config.drain.timeoutMs, 30_000)
})

async function outputOf(configFile: string): Promise<{ code: number | null; errors: string }> {
  const child = spawnServer(configFile)
  let errors = ''
  child.stderr!.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, errors }
}

test('the program exits with 2, names file, key and expected value, and writes nothing', async () => {
  const spool = join(testFolder(), 'spool')
  const bad = written({ ...MINIMAL, hostname: 'mx1', queue: { path: spool }, retry: { firstMs: 'soon' } })
  const { code, errors } = await outputOf(bad)
  assert.equal(code, 2)
  assert.match(errors, /config\.json: 2 problems\n {2}hostname: expected a full host name .*found "mx1"\n/)
  assert.match(errors, /\n {2}retry\.firstMs: expected a whole number of milliseconds.*found "soon"\n/)
  assert.equal(existsSync(spool), false)
})

test('a missing or broken routes file: exit 2, and nothing is written', async () => {
  const folder = testFolder()
  const spool = join(folder, 'spool')
  const routes = join(folder, 'routes.yaml')
  const file = written({
    ...MINIMAL,
    listen: { smtp: { port: 0 }, admin: { port: 0 } },
    queue: { path: spool, volatile: true },
    routes: { file: routes },
  })
  const missing = await outputOf(file)
  assert.equal(missing.code, 2)
  assert.match(missing.errors, /routes\.yaml: 1 problem\n.*ENOENT/)
  writeFileSync(routes, 'domains: { example.org: { aliases: { info: [nobody], "a b": [a@b.example] } } }')
  const broken = await outputOf(file)
  assert.equal(broken.code, 2)
  assert.match(broken.errors, /domains\.example\.org\.aliases\.info\.0: expected a mailbox/)
  assert.equal(existsSync(spool), false)
})
