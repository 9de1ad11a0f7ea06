// docs/server.md lists every configuration key, as the schema and its reference have it.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { configKeys, withTables } from '../../../scripts/commands/docs.ts'
import { configReference } from '../../../server/config/reference.ts'

const page = readFileSync(join(import.meta.dirname, '../../../docs/server.md'), 'utf8')

test('the tables of configuration keys in docs/server.md are up to date (npm run docs)', () => {
  assert.equal(page, withTables(page))
})

test('the reference describes exactly the keys of the schema', () => {
  assert.deepEqual(configKeys().sort(), Object.keys(configReference).sort())
})

test('a page without markers is refused', () => {
  assert.throws(() => withTables('# A page'), /the markers .* are missing/)
})

test('a row has the bounds with units, the default and its reason', () => {
  const row = page.split('\n').find((line) => line.includes('`limits.dataMs`')) ?? ''
  assert.match(
    row,
    /\| 1 s to 6 h +\| 10 min +\| Longest time from DATA .* \| The largest message at 64 kB\/s/,
  )
  assert.match(page, /`limits\.messageBytes` +\| 1 KiB to 256 MiB +\| 35 MiB /)
  assert.match(page, /`fleet\.launchHook` +\| .* \| required with `fleet` +\|/)
})
