// Where a queue may be. A refusal names all problems at once.
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { InputError } from '../../../../input/problems.ts'
import { openEnvironment } from '../../../../server/queue/embedded/durable.ts'
import { openEmbeddedQueue } from '../../../../server/queue/embedded/engine.ts'
import { LAYOUT_VERSION, openLayout } from '../../../../server/queue/embedded/layout.ts'
import { folderFor, entryFor, queueFor } from '../../../kit/queue/embedded-harness.ts'

const bounds = { maxEntries: 10, maxBytes: 1000, volatile: false }

/** Every Linux has a tmpfs here. */
function volatileFolder(t: TestContext): string {
  const folder = mkdtempSync('/dev/shm/mailfleet-test-')
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function problemsOf(options: Parameters<typeof openEmbeddedQueue>[0]) {
  const error: unknown = await openEmbeddedQueue(options).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof InputError, String(error))
  return error.problems.map(({ key, found }) => ({ key, found }))
}

test('a spool on tmpfs is refused, and nothing is written there', async (t) => {
  const path = volatileFolder(t)
  assert.deepEqual(await problemsOf({ ...bounds, path }), [{ key: 'path', found: 'tmpfs' }])
  assert.ok(!existsSync(join(path, 'data.mdb')))
})

test('a spool on tmpfs works with volatile set', async (t) => {
  const queue = await queueFor(t, { path: volatileFolder(t), volatile: true })
  await queue.enqueue(entryFor(), Buffer.from('x'))
  assert.equal(queue.stats().entries, 1)
})

test('flush off needs volatile on, and one error names all problems', async (t) => {
  const flush = { key: 'flush', found: 'false' }
  assert.deepEqual(await problemsOf({ ...bounds, path: folderFor(t), flush: false }), [flush])
  const both = await problemsOf({ ...bounds, path: volatileFolder(t), flush: false })
  assert.deepEqual(both, [flush, { key: 'path', found: 'tmpfs' }])
  const queue = await queueFor(t, { flush: false, volatile: true })
  await queue.enqueue(entryFor(), Buffer.from('x'))
})

test('a path that cannot be a directory is refused, and the error names it', async (t) => {
  const path = join(folderFor(t), 'file')
  writeFileSync(path, '')
  assert.deepEqual(await problemsOf({ ...bounds, path }), [{ key: 'path', found: 'ENOTDIR' }])
  assert.deepEqual(await problemsOf({ ...bounds, path: join(path, 'below') }), [
    { key: 'path', found: 'ENOTDIR' },
  ])
})

test('a path that cannot be written is refused', async () => {
  const [problem] = await problemsOf({ ...bounds, path: '/proc/mailfleet' })
  assert.equal(problem?.key, 'path')
})

test('a data file that is not a queue is refused and stays unchanged', async (t) => {
  const path = folderFor(t)
  const file = join(path, 'data.mdb')
  for (const content of [Buffer.alloc(10_000, 'not lmdb'), Buffer.alloc(8192), Buffer.from('x')]) {
    writeFileSync(file, content)
    const [problem] = await problemsOf({ ...bounds, path })
    assert.deepEqual(problem, { key: 'path', found: 'a data.mdb of another kind' })
    assert.deepEqual(readFileSync(file), content)
  }
})

test('an empty data file, left by an early crash, counts as none', async (t) => {
  const path = folderFor(t)
  writeFileSync(join(path, 'data.mdb'), '')
  const queue = await queueFor(t, { path })
  await queue.enqueue(entryFor(), Buffer.from('x'))
})

test('limits larger than any disk do not stop a queue from opening', async (t) => {
  const queue = await queueFor(t, { maxEntries: 1e12, maxBytes: 1e15 })
  await queue.enqueue(entryFor(), Buffer.from('x'))
})

test('a queue of another layout is refused and stays unchanged', async (t) => {
  const path = folderFor(t)
  const environment = openEnvironment(path, true, 1024 * 1024)
  const { meta } = openLayout(environment)
  await meta.put('layout', LAYOUT_VERSION + 1)
  await environment.close()
  const problems = await problemsOf({ ...bounds, path })
  assert.deepEqual(problems, [{ key: '', found: `layout ${LAYOUT_VERSION + 1}` }])
  const again = openEnvironment(path, true, 1024 * 1024)
  t.after(() => again.close())
  assert.equal(openLayout(again).meta.get('layout'), LAYOUT_VERSION + 1)
})

test('folders are made as needed, and other users cannot read the queue', async (t) => {
  const path = join(folderFor(t), 'var', 'spool', 'mailfleet')
  await queueFor(t, { path })
  assert.equal(statSync(path).mode & 0o777, 0o700)
  for (const file of ['data.mdb', 'lock.mdb']) assert.equal(statSync(join(path, file)).mode & 0o077, 0, file)
})
