// A fleet's configuration file: defaults, relative paths, and errors that name all problems.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { readFleetConfig } from '../../../infra/local/fleet-config.ts'

function configFile(t: TestContext, text: string): { file: string; folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'fleet-config-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'fleet.yaml')
  writeFileSync(file, text)
  return { file, folder }
}

test('paths are relative to the file, and other keys have defaults', (t) => {
  const { file, folder } = configFile(
    t,
    'directory: spools\nroutesFile: /etc/routes.yaml\nserver: { hostname: a.example }\n',
  )
  const config = readFleetConfig(file)
  assert.equal(config.directory, join(folder, 'spools'))
  assert.equal(config.routesFile, '/etc/routes.yaml')
  assert.deepEqual(config.listen, { host: '127.0.0.1', port: 2525 })
  assert.equal(config.policy.maxInstances, 10)
  assert.deepEqual(config.server, { hostname: 'a.example', delivery: { concurrency: 10 } })
})

test('the error names all problems, with file and key', (t) => {
  const { file } = configFile(
    t,
    'listen: { port: 0 }\nserver: {}\npolicy: { minInstances: 9, maxInstances: 2 }\nperiodMs: 5\nprot: 1\n',
  )
  assert.throws(
    () => readFleetConfig(file),
    (error: Error) => {
      assert.equal(
        error.message.replace(file, 'F'),
        [
          'F: 6 problems',
          '  listen.port: expected a TCP port, 1 to 65535, found 0',
          '  directory: expected a value, found nothing',
          '  routesFile: expected a value, found nothing',
          '  policy.maxInstances: expected at least minInstances, found 2',
          '  periodMs: expected 100 to 60000 ms, found 5',
          '  prot: expected no such key, found this key',
        ].join('\n'),
      )
      return true
    },
  )
})

test('concurrency may be set in either place, and two different values are refused', (t) => {
  const read = (policy: string, server: string) => {
    const text = `directory: d\nroutesFile: r\npolicy: { ${policy} }\nserver: { ${server} }\n`
    const config = readFleetConfig(configFile(t, text).file)
    return [config.policy.concurrency, config.server['delivery']]
  }
  const inServer = 'delivery: { concurrency: 40, mxPort: 26 }'
  assert.deepEqual(read('', inServer), [40, { concurrency: 40, mxPort: 26 }])
  assert.deepEqual(read('concurrency: 30', 'delivery: { mxPort: 26 }'), [30, { concurrency: 30, mxPort: 26 }])
  assert.deepEqual(read('concurrency: 40', inServer), [40, { concurrency: 40, mxPort: 26 }])
  assert.throws(
    () => read('concurrency: 30', inServer),
    /policy\.concurrency: expected 40, as in server\.delivery\.concurrency, or no such key, found 30/,
  )
})
