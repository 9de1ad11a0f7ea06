// Several processes on one queue: nobody gets what another holds, and nobody is stopped by another's sudden death.
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { groupCommit, openEnvironment } from '../../../server/queue/durable.ts'
import { folderFor, MINUTE_MS, newEntry, queueFor, START_MS } from './setting.ts'

const program = join(import.meta.dirname, 'one-process.ts')
const MIB = 1024 * 1024

/** Runs one-process.ts until it ends by itself; returns what it printed. */
async function alongside(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...args], { timeout: 60_000 })
  return stdout
}

/** Runs one-process.ts, which kills itself. */
function dying(...args: string[]): void {
  const { signal, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  assert.equal(signal, 'SIGKILL', stderr)
}

test('processes that lease side by side get each entry once', async (t) => {
  const path = folderFor(t)
  const queue = await queueFor(t, { path })
  const ids = await Promise.all(
    Array.from({ length: 2000 }, (_, i) => queue.enqueue(newEntry({ dueMs: i }), Buffer.from('x'))),
  )
  const taken = await Promise.all([alongside(path, 'lease'), alongside(path, 'lease')])
  const lists = taken.map((printed) => printed.split('\n').filter((id) => id !== ''))
  assert.deepEqual(lists.flat().sort(), ids.sort())
  assert.equal(queue.stats().inFlight, 2000)
})

test('what one process enqueues another leases, settles, and finds gone', async (t) => {
  const path = folderFor(t)
  const queue = await queueFor(t, { path })
  await alongside(path, 'enqueue', '3')
  const held = await queue.lease(9, MINUTE_MS)
  assert.equal(held.length, 3)
  for (const lease of held) await queue.settle(lease, { kind: 'remove' })
  assert.equal(await alongside(path, 'lease'), '')
  assert.equal(queue.stats().entries, 0)
})

test('a process killed inside its write transaction leaves nothing behind and blocks nobody', async (t) => {
  const path = folderFor(t)
  const queue = await queueFor(t, { path })
  await queue.enqueue(newEntry({ dueMs: 0 }), Buffer.from('before'))
  for (let round = 0; round < 3; round++) {
    dying(path, 'die-writing')
    await queue.enqueue(newEntry({ dueMs: 0 }), Buffer.from('after'))
  }
  assert.equal(queue.stats().entries, 4)
  const held = await queue.lease(9, MINUTE_MS)
  assert.deepEqual(
    held.map((lease) => queue.body(lease).toString()),
    ['before', 'after', 'after', 'after'].sort().reverse(),
  )
})

test('a process killed while it reads does not make the file grow for long', async (t) => {
  const path = folderFor(t)
  const clock = { nowMs: START_MS, now: () => clock.nowMs }
  const queue = await queueFor(t, { path, now: clock.now })
  const pass = async () => {
    await queue.enqueue(newEntry(), Buffer.alloc(MIB))
    for (const lease of await queue.lease(1, MINUTE_MS)) await queue.settle(lease, { kind: 'remove' })
  }
  const passes = async (count: number) => {
    for (let i = 0; i < count; i++) await pass()
    return statSync(join(path, 'data.mdb')).size
  }
  const before = await passes(20)
  assert.ok(before < 10 * MIB, `without a dead reader freed pages are used again: ${before}`)
  dying(path, 'die-reading')
  assert.ok((await passes(20)) > before + 10 * MIB, 'a dead reader keeps them: else this test shows nothing')
  clock.nowMs += 10_000
  const found = await passes(2)
  assert.equal(await passes(20), found)
})

test('a map that is too small grows, seen from every process', async (t) => {
  const path = folderFor(t)
  await (await queueFor(t, { path })).close()
  const environment = openEnvironment(path, true, 128 * 1024)
  t.after(() => environment.close())
  const commits = groupCommit(environment, Date.now)
  const value = 'x'.repeat(MIB)
  for (let i = 0; i < 5; i++) {
    await commits.run(() => void environment.put(`mine ${i}`, value))
    await alongside(path, 'enqueue', '3', String(MIB))
  }
  assert.equal([...environment.getKeys({ start: 'mine', end: 'mine~' })].length, 5)
  assert.equal((await queueFor(t, { path })).stats().bytes, 15 * MIB)
})
