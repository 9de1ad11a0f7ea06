// Several processes on one queue. No process gets an entry that another holds, and the death of one stops no other.
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { openSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { groupCommit, openEnvironment } from '../../../../server/queue/embedded/durable.ts'
import { folderFor, LEASE_MS, entryFor, queueFor, START_MS } from '../../../kit/queue/embedded-harness.ts'

const program = join(import.meta.dirname, '../../../kit/queue/one-process.ts')
const MIB = 1024 * 1024

const noStrace =
  spawnSync('strace', ['-f', 'true']).status === 0 ? false : 'strace is missing or may not trace here'

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

test('processes that lease at the same time get each entry once', async (t) => {
  const path = folderFor(t)
  const queue = await queueFor(t, { path })
  const ids = await Promise.all(
    Array.from({ length: 2000 }, (_, i) => queue.enqueue(entryFor({ dueMs: i }), Buffer.from('x'))),
  )
  const taken = await Promise.all([alongside(path, 'lease'), alongside(path, 'lease')])
  const lists = taken.map((printed) => printed.split('\n').filter((id) => id !== ''))
  assert.deepEqual(lists.flat().sort(), ids.sort())
  assert.equal(queue.stats().inFlight, 2000)
})

test('one process enqueues an entry that another leases and settles', async (t) => {
  const path = folderFor(t)
  const queue = await queueFor(t, { path })
  await alongside(path, 'enqueue', '3')
  const held = await queue.lease(9, LEASE_MS)
  assert.equal(held.length, 3)
  for (const lease of held) await queue.settle(lease, { kind: 'remove' })
  assert.equal(await alongside(path, 'lease'), '')
  assert.equal(queue.stats().entries, 0)
})

test('a transaction that would start from an old state writes nothing', async (t) => {
  const path = folderFor(t)
  const environment = openEnvironment(path, true, 1024 * 1024)
  t.after(() => environment.close())
  const commits = groupCommit(environment, Date.now)
  // Held until the process ends: closing it would drop the process's locks on that file.
  const lockFile = openSync(join(path, 'lock.mdb'), 'r+')
  const newest = () => (environment.getStats() as { lastTxnId: number }).lastTxnId
  const put = (key: string) => commits.run(() => void environment.put(key, 1))
  for (const [i, behind] of [1, 2, 1, 3].entries()) {
    for (const key of ['a', 'b', 'c']) await put(`${i}${key}`)
    const before = newest()
    // What a process does that opens the environment here and read its root pages a little earlier.
    writeSync(lockFile, new BigUint64Array([BigInt(before - behind)]), 0, 8, 8)
    await Promise.all([put(`${i}d`), put(`${i}e`)])
    assert.equal(newest(), before + 1)
    assert.equal(environment.getKeysCount({}), 5 * (i + 1))
  }
})

test('a process that opens slowly loses no commit of the writers', { skip: noStrace }, async (t) => {
  const path = folderFor(t)
  await (await queueFor(t, { path })).close()
  const environment = openEnvironment(path, true, 1024 * 1024)
  t.after(() => environment.close())
  const commits = groupCommit(environment, Date.now)
  const newest = () => (environment.getStats() as { lastTxnId: number }).lastTxnId
  const before = newest()
  let opening = true
  const openings = openSlowly(path, 4).finally(() => {
    opening = false
  })
  let stored = 0
  for (; opening; stored++) {
    await commits.run(() => void environment.put(`mine ${stored}`, 1))
    // What goes wrong does so between two transactions: there has to be some room.
    await sleep(5)
  }
  await openings
  assert.equal(newest() - before, stored + 4, 'each transaction follows the one before it')
  assert.equal([...environment.getKeys({ start: 'mine', end: 'mine~' })].length, stored)
})

/** Opens the queue, enqueues one entry and closes, so often; after lmdb has read its root pages it is made to pause. */
async function openSlowly(path: string, times: number): Promise<void> {
  const slow = ['-f', '-o', '/dev/null', '-e', 'trace=pread64', '-e', 'inject=pread64:delay_exit=20000']
  for (let i = 0; i < times; i++)
    await promisify(execFile)('strace', [...slow, process.execPath, program, path, 'enqueue', '1'])
}

test('a process killed inside its write transaction stores nothing and blocks no other', async (t) => {
  const path = folderFor(t)
  const queue = await queueFor(t, { path })
  await queue.enqueue(entryFor({ dueMs: 0 }), Buffer.from('before'))
  for (let round = 0; round < 3; round++) {
    dying(path, 'die-writing')
    await queue.enqueue(entryFor({ dueMs: 0 }), Buffer.from('after'))
  }
  assert.equal(queue.stats().entries, 4)
  const held = await queue.lease(9, LEASE_MS)
  assert.deepEqual(
    held.map((lease) => queue.body(lease).toString()),
    ['before', 'after', 'after', 'after'].sort().reverse(),
  )
})

test('the file soon stops growing after a process was killed while it read', async (t) => {
  const path = folderFor(t)
  const clock = { nowMs: START_MS, now: () => clock.nowMs }
  const queue = await queueFor(t, { path, now: clock.now })
  const pass = async () => {
    await queue.enqueue(entryFor(), Buffer.alloc(MIB))
    for (const lease of await queue.lease(1, LEASE_MS)) await queue.settle(lease, { kind: 'remove' })
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

test('a map that is too small grows for every process', async (t) => {
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
