// Durability: a resolved operation is on disk, a failed one is not, and one failure does not affect others.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { groupCommit, openEnvironment } from '../../../../server/queue/embedded/durable.ts'
import { folderFor, entryFor, queueFor } from '../../../kit/queue/embedded-harness.ts'

const program = (name: string) => join(import.meta.dirname, '../../../kit/queue', name)

/** strace shows the system calls of the program it starts, and can make them fail. Some sandboxes forbid it. */
const noStrace =
  spawnSync('strace', ['-f', 'true']).status === 0 ? false : 'strace is missing or may not trace here'

test('concurrent operations share a commit', async (t) => {
  const path = folderFor(t)
  const environment = openEnvironment(path, true, 1024 * 1024)
  t.after(() => environment.close())
  const commits = groupCommit(environment, Date.now)
  const transactions = () => (environment.getStats() as { lastTxnId: number }).lastTxnId
  const before = transactions()
  await Promise.all(Array.from({ length: 100 }, (_, i) => commits.run(() => void environment.put(`${i}`, i))))
  assert.equal(transactions() - before, 1)
  assert.equal(environment.getKeysCount({}), 100)
})

test('an operation that throws fails alone, and the others of its commit are stored', async (t) => {
  const environment = openEnvironment(folderFor(t), true, 1024 * 1024)
  t.after(() => environment.close())
  const commits = groupCommit(environment, Date.now)
  const results = await Promise.allSettled([
    commits.run(() => void environment.put('a', 1)),
    commits.run(() => {
      throw new RangeError('no')
    }),
    commits.run(() => void environment.put('b', environment.get('a'))),
  ])
  assert.deepEqual(
    results.map((result) => (result.status === 'rejected' ? (result.reason as Error).message : 'stored')),
    ['stored', 'no', 'stored'],
  )
  assert.equal(environment.get('b'), 1, 'and sees what came before it')
})

test('all operations are stored when they exceed the limit of one commit', async (t) => {
  const environment = openEnvironment(folderFor(t), true, 1024 * 1024)
  t.after(() => environment.close())
  const commits = groupCommit(environment, Date.now)
  await Promise.all(
    Array.from({ length: 3000 }, (_, i) => commits.run(() => void environment.put(`${i}`, i))),
  )
  assert.equal(environment.getKeysCount({}), 3000)
})

test('closing waits for the commit under way', async (t) => {
  const path = folderFor(t)
  const queue = await queueFor(t, { path })
  const storing = Promise.all([1, 2, 3].map(() => queue.enqueue(entryFor(), Buffer.from('x'))))
  await Promise.all([storing, queue.close()])
  assert.equal((await queueFor(t, { path })).stats().entries, 3)
})

test('a transaction that lmdb spoils rejects and stores none of its operations, and the process lives', async (t) => {
  const path = folderFor(t)
  const { commits, environment } = await reopened(t, path)
  const repair = damageFreePages(path)
  const put = (key: string) => commits.run(() => void environment.put(key, 1))
  const outcomes = [
    ...(await Promise.allSettled([put('a')])),
    ...(await Promise.allSettled([put('b'), put('c')])),
  ]
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status === 'rejected' && String(outcome.reason)),
    Array(3).fill('CommitError: commit failed, nothing stored: MDB_PAGE_NOTFOUND: Requested page not found'),
  )
  repair()
  assert.equal(commits.failure(), undefined)
  await put('d')
  assert.deepEqual([...environment.getKeys({ start: 'a' })], ['d', 'old'])
})

test('a transaction that lmdb spoils once is tried again', async (t) => {
  const path = folderFor(t)
  const { commits, environment } = await reopened(t, path)
  let repair: (() => void) | undefined = damageFreePages(path)
  let attempts = 0
  await commits.run(() => {
    attempts++
    // This transaction has the damage in memory already, the next one will not.
    repair?.()
    repair = undefined
    void environment.put('new', 1)
  })
  assert.equal(attempts, 2)
  assert.deepEqual([...environment.getKeys({ start: 'a' })], ['new', 'old'])
})

/** An environment with some history that knows nothing yet of its free pages. */
async function reopened(t: TestContext, path: string) {
  const first = openEnvironment(path, true, 1024 * 1024)
  for (let i = 0; i < 5; i++) await groupCommit(first, Date.now).run(() => void first.put('old', i))
  await first.close()
  const environment = openEnvironment(path, true, 1024 * 1024)
  t.after(() => environment.close())
  return { environment, commits: groupCommit(environment, Date.now) }
}

/** Makes both root pages point the list of free pages beyond the end of the file; returns how to undo that. */
function damageFreePages(path: string): () => void {
  // In a root page: page header 24 bytes, magic and version 8, address 8, map size 8; 40 into the first database.
  const offsets = [0, 4096].map((page) => page + 24 + 8 + 8 + 8 + 40)
  const file = join(path, 'data.mdb')
  const before = offsets.map((offset) => readFileSync(file).subarray(offset, offset + 8))
  const write = (values: Buffer[]) => {
    const handle = openSync(file, 'r+')
    values.forEach((value, i) => writeSync(handle, value, 0, 8, offsets[i]))
    closeSync(handle)
  }
  write(before.map(() => Buffer.from([0, 0, 0, 0, 0, 1, 0, 0])))
  return () => write(before)
}

test('an enqueue resolves after fdatasync and the synced write of the root page', { skip: noStrace }, (t) => {
  const folder = folderFor(t)
  const trace = join(folder, 'trace')
  const calls = ['-f', '-o', trace, '-e', 'trace=write,pwrite64,fdatasync,openat']
  const ran = spawnSync('strace', [...calls, process.execPath, program('enqueue-each.ts'), folder, '5'])
  assert.equal(ran.status, 0, String(ran.stderr))
  const lines = readFileSync(trace, 'utf8').split('\n')
  const synced = lines.map((line) => /data\.mdb".*O_DSYNC.* = (\d+)$/.exec(line)?.[1]).find((fd) => fd)
  assert.ok(synced, 'the file is opened with O_DSYNC')
  const events = lines.map((line) => {
    if (/write\(1, "begin/.test(line)) return 'begin'
    if (/write\(1, "stored/.test(line)) return 'stored'
    if (/fdatasync(\(\d+\)| resumed>\)) += 0/.test(line)) return 'flushed'
    return new RegExp(`pwrite64\\(${synced}, .* = \\d+`).test(line) ? 'root' : ''
  })
  const found = events.filter((event) => event !== '').join(' ')
  const once = 'begin flushed root stored'
  assert.equal(found.slice(found.indexOf('begin')), Array.from({ length: 5 }, () => once).join(' '))
})

/** The queue exists by then and there is one writing thread: strace counts each thread's calls by itself. */
test('a failing flush rejects and stores nothing, and the process lives', { skip: noStrace }, async (t) => {
  const folder = folderFor(t)
  await (await queueFor(t, { path: folder })).close()
  const failing = [
    '-f',
    '-o',
    '/dev/null',
    '-e',
    'trace=fdatasync',
    '-e',
    'inject=fdatasync:error=EIO:when=3+',
  ]
  const ran = spawnSync('strace', [...failing, process.execPath, program('enqueue-each.ts'), folder, '5'], {
    env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
    encoding: 'utf8',
  })
  assert.equal(ran.status, 0, ran.stderr)
  const outcomes = ran.stdout.split('\n').filter((line) => line !== 'begin')
  const failed = Array.from({ length: 3 }, () => 'CommitError 5')
  assert.deepEqual(outcomes, ['stored', 'stored', ...failed, 'usable true, 2 entries', ''])
})
