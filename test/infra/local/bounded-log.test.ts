// An instance's log: the newest lines in two files at most, and failed writes stop no instance.
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { after, test } from 'node:test'
import { boundedLog } from '../../../infra/local/bounded-log.ts'
import { scratchDirectories } from '../../kit/fleet/small-fleet.ts'

const scratch = scratchDirectories()
after(scratch.remove)

test('two files of bounded size hold the newest lines', async () => {
  const directory = scratch.make()
  const file = join(directory, 'i-0001.log')
  const log = boundedLog(file, 1000)
  for (let line = 0; line < 500; line += 1) log.write(`line ${line}\n`)
  log.end()
  await finished(log)
  assert.deepEqual(readdirSync(directory).sort(), ['i-0001.log', 'i-0001.log.1'])
  for (const name of readdirSync(directory)) assert.ok(statSync(join(directory, name)).size <= 1000, name)
  const kept = readFileSync(`${file}.1`, 'utf8') + readFileSync(file, 'utf8')
  const lines = kept.trim().split('\n')
  const expected = Array.from({ length: 500 }, (_, line) => `line ${line}`).slice(-lines.length)
  assert.deepEqual(lines, expected)
  assert.ok(lines.length > 90, `${lines.length} lines`)
})

test('failed writes drop lines and count them', async () => {
  const directory = scratch.make()
  const file = join(directory, 'in-the-way')
  mkdirSync(file)
  const log = boundedLog(file)
  for (let line = 0; line < 3; line += 1) log.write('lost\n')
  await new Promise((resolve) => log.write('lost, too\n', resolve))
  assert.equal(log.dropped(), 4)
  rmSync(file, { recursive: true })
  log.end('kept\n')
  await finished(log)
  assert.equal(readFileSync(file, 'utf8'), 'kept\n')
})
