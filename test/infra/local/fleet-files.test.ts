// A fleet's directory: one supervisor at a time, old logs kept, and remains of killed supervisors removed.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createFleetFiles, type FleetFiles } from '../../../infra/local/fleet-files.ts'
import { scratchDirectories } from '../../kit/fleet/small-fleet.ts'

const scratch = scratchDirectories()
after(scratch.remove)
// Each supervisor cleans the temporary directory, so these tests have their own.
const temporary = scratch.make()
process.env['TMPDIR'] = temporary

const filesIn = (directory: string): FleetFiles =>
  createFleetFiles(directory, {}, { table: {} }, (outside) => outside)

const MODULE = join(import.meta.dirname, '../../../infra/local/fleet-files.ts')

/** A process that has the directory until it is killed. */
async function otherSupervisor(directory: string) {
  const program = `
    import { createFleetFiles } from ${JSON.stringify(MODULE)}
    const files = createFleetFiles(${JSON.stringify(directory)}, {}, { table: {} }, (outside) => outside)
    files.prepare('i-0001')
    console.log('ready')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  return child
}

const socketDirectories = () => readdirSync(temporary).filter((name) => name.startsWith('mailfleet-sockets-'))

test('a second supervisor is refused with the first one’s pid, and SIGKILL releases the directory', async () => {
  const directory = scratch.make()
  const other = await otherSupervisor(directory)
  assert.throws(
    () => filesIn(directory),
    new RegExp(`another supervisor uses this directory, process ${other.pid}$`),
  )
  // A fleet in another directory leaves the first one's sockets alone.
  filesIn(scratch.make()).close()
  assert.equal(socketDirectories().length, 1)
  other.kill('SIGKILL')
  await once(other, 'exit')
  const files = filesIn(directory)
  // The killed supervisor's sockets are removed; the new ones exist.
  assert.equal(socketDirectories().length, 1)
  assert.equal(existsSync(join(directory, 'instances')), false)
  files.close()
  assert.deepEqual(socketDirectories(), [])
  filesIn(directory).close()
})

test('a start keeps the logs of the last four runs', () => {
  const directory = scratch.make()
  const kept: string[] = []
  for (let run = 0; run < 7; run += 1) {
    const files = filesIn(directory)
    const { logFile } = files.prepare('i-0001')
    writeFileSync(logFile, `run ${run}`)
    kept.push(logFile)
    files.close()
  }
  assert.equal(new Set(kept).size, 7)
  assert.deepEqual(kept.map(existsSync), [false, false, true, true, true, true, true])
  assert.equal(readFileSync(kept[5] ?? '', 'utf8'), 'run 5')
})

test('terminated instances leave at most 50 logs', () => {
  const directory = scratch.make()
  const files = filesIn(directory)
  const logs: string[] = []
  for (let serial = 1; serial <= 53; serial += 1) {
    const { logFile, configFile, adminSocket } = files.prepare(`i-${serial}`)
    for (const each of [logFile, `${logFile}.1`, adminSocket]) writeFileSync(each, '')
    logs.push(logFile)
    files.ended(`i-${serial}`)
    assert.equal(existsSync(configFile), false)
    assert.equal(existsSync(adminSocket), false)
  }
  assert.deepEqual(
    logs.filter((log) => !existsSync(log)),
    logs.slice(0, 3),
  )
  assert.equal(existsSync(`${logs[0]}.1`), false)
  files.close()
})

test('files of other programs in the temporary directory stay', () => {
  const others = ['mailfleet-sockets-abcdef', 'mailfleet-abcdef', 'else']
  for (const name of others) mkdirSync(join(temporary, name))
  filesIn(scratch.make()).close()
  for (const name of others) assert.equal(existsSync(join(temporary, name)), true, name)
})
