// A fleet's directory: one supervisor at a time, logs of earlier runs kept, what killed supervisors left removed.
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
// Every supervisor on this machine tidies the temporary directory: these tests have their own.
const temporary = scratch.make()
process.env['TMPDIR'] = temporary

const filesIn = (directory: string): FleetFiles =>
  createFleetFiles(directory, {}, { table: {} }, (outside) => outside)

const MODULE = join(import.meta.dirname, '../../../infra/local/fleet-files.ts')

/** Another process that has the directory, until it is killed. */
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

test('a second supervisor is refused and told the first one’s pid; SIGKILL gives the directory back', async () => {
  const directory = scratch.make()
  const other = await otherSupervisor(directory)
  assert.throws(() => filesIn(directory), new RegExp(`another supervisor runs here, process ${other.pid}$`))
  // Another directory is another fleet, and leaves the first one's sockets alone.
  filesIn(scratch.make()).close()
  assert.equal(socketDirectories().length, 1)
  other.kill('SIGKILL')
  await once(other, 'exit')
  const files = filesIn(directory)
  // The killed one's sockets are gone, these are there.
  assert.equal(socketDirectories().length, 1)
  assert.equal(existsSync(join(directory, 'instances')), false)
  files.close()
  assert.deepEqual(socketDirectories(), [])
  filesIn(directory).close()
})

test('a start keeps the logs of the four runs before, and no older ones', () => {
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

test('an instance that has ended leaves its log, and no more than 50 of them', () => {
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

test('what another user’s program might have left in the temporary directory stays', () => {
  const others = ['mailfleet-sockets-abcdef', 'mailfleet-abcdef', 'else']
  for (const name of others) mkdirSync(join(temporary, name))
  filesIn(scratch.make()).close()
  for (const name of others) assert.equal(existsSync(join(temporary, name)), true, name)
})
