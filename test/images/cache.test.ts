// The cache of stages: nothing half-made under its final name, nothing made twice, nothing kept for ever.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import {
  defaultCacheDir,
  pruneCache,
  runStage,
  supersededStages,
  temporaryFolder,
} from '../../images/cache.ts'

const newCache = () => mkdtempSync(join(tmpdir(), 'mailfleet-cache-'))
const HOUR_MS = 60 * 60 * 1000
const DAY_MS = 24 * HOUR_MS

/** A stage that writes `text` and counts how often it did. */
function stageOf(cacheDir: string, inputs: unknown, code: string[] = []) {
  const runs = { count: 0 }
  const run = () =>
    runStage(cacheDir, {
      name: 'example',
      inputs,
      code,
      run: async (folder) => {
        runs.count++
        await Promise.resolve()
        writeFileSync(join(folder, 'out'), JSON.stringify(inputs))
      },
    })
  return { run, runs }
}

test('equal inputs are made once, other inputs anew', async () => {
  const cacheDir = newCache()
  const { run, runs } = stageOf(cacheDir, { a: 1 })
  assert.equal((await run()).cached, false)
  const second = await run()
  assert.equal(second.cached, true)
  assert.equal(runs.count, 1)
  assert.equal(readFileSync(join(second.path, 'out'), 'utf8'), '{"a":1}')
  assert.notEqual((await stageOf(cacheDir, { a: 2 }).run()).path, second.path)
})

test('a stage whose code changed is made anew', async () => {
  const cacheDir = newCache()
  const code = join(cacheDir, 'stage.ts')
  writeFileSync(code, 'one')
  const { run, runs } = stageOf(cacheDir, 1, [code])
  await run()
  writeFileSync(code, 'two')
  await run()
  assert.equal(runs.count, 2)
})

test('a stage that fails leaves nothing, and the next try makes it', async () => {
  const cacheDir = newCache()
  const failing = runStage(cacheDir, {
    name: 'example',
    inputs: 1,
    code: [],
    run: (folder) => {
      writeFileSync(join(folder, 'half'), '')
      return Promise.reject(new Error('tool failed'))
    },
  })
  await assert.rejects(failing, /tool failed/)
  assert.equal(existsSync(join(cacheDir, 'stages')), false)
  assert.deepEqual(readdirSync(join(cacheDir, 'tmp')), [])
  assert.equal((await stageOf(cacheDir, 1).run()).cached, false)
})

test('two that make the same stage at once end with the same whole result', async () => {
  const cacheDir = newCache()
  const results = await Promise.all([1, 2, 3].map(() => stageOf(cacheDir, 'same').run()))
  assert.equal(new Set(results.map(({ path }) => path)).size, 1)
  assert.equal(readFileSync(join(results[0]?.path ?? '', 'out'), 'utf8'), '"same"')
  assert.deepEqual(readdirSync(join(cacheDir, 'tmp')), [])
})

test('what a killed build left in tmp is dropped, what a running one uses is not', async () => {
  const cacheDir = newCache()
  await using mine = temporaryFolder(cacheDir, 'mine')
  // Unpacking an archive gives a folder the archive's own, old, date: that alone makes it nobody's.
  utimesSync(mine.path, new Date(0), new Date(0))
  const child = spawn('true')
  await once(child, 'exit')
  const dead = basename(mine.path).replace(`.${process.pid}.`, `.${child.pid}.`)
  const elsewhere = basename(mine.path).replace(hostname(), 'another-machine')
  for (const name of [dead, elsewhere]) mkdirSync(join(cacheDir, 'tmp', name))
  await pruneCache(cacheDir)
  assert.deepEqual(readdirSync(join(cacheDir, 'tmp')).sort(), [basename(mine.path), elsewhere].sort())
  await pruneCache(cacheDir, Date.now() + 2 * DAY_MS)
  assert.deepEqual(readdirSync(join(cacheDir, 'tmp')), [])
})

test('a stage that was made of old files is not old', async () => {
  const cacheDir = newCache()
  const { path } = await runStage(cacheDir, {
    name: 'tools',
    inputs: 1,
    code: [],
    run: (folder) => {
      writeFileSync(join(folder, 'file'), '')
      utimesSync(folder, new Date(0), new Date(0))
      return Promise.resolve()
    },
  })
  await pruneCache(cacheDir)
  assert.equal(existsSync(path), true)
})

test('of each stage the last few used are kept, and none that was used within the hour', () => {
  const results = [
    ...[1, 2, 3, 4, 5, 6].map((n) => ({ name: `root-a${n}`, idleMs: n * 2 * HOUR_MS })),
    ...[1, 2, 3, 4, 5, 6].map((n) => ({ name: `esp-b${n}`, idleMs: n })),
    { name: 'tools-c', idleMs: 15 * DAY_MS },
  ]
  assert.deepEqual(supersededStages(results).sort(), ['root-a5', 'root-a6', 'tools-c'])
})

test('a stage that a sandbox has mounted outlives every rule', async () => {
  const cacheDir = newCache()
  const { path } = await stageOf(cacheDir, 'mounted').run()
  const { path: other } = await stageOf(cacheDir, 'not mounted').run()
  const argv = [
    '--die-with-parent',
    '--ro-bind',
    '/',
    '/',
    '--ro-bind',
    path,
    '/mnt',
    'sh',
    '-c',
    'echo up; read end',
  ]
  const sandbox = spawn('bwrap', argv, { stdio: ['pipe', 'pipe', 'inherit'] })
  try {
    await once(sandbox.stdout, 'data')
    await pruneCache(cacheDir, Date.now() + 30 * DAY_MS)
    assert.deepEqual([existsSync(path), existsSync(other)], [true, false])
  } finally {
    sandbox.stdin.end()
    await once(sandbox, 'exit')
  }
})

test('the cache is where the environment says', () => {
  assert.equal(defaultCacheDir({ MAILFLEET_CACHE: '/c' }), '/c')
  assert.equal(defaultCacheDir({ XDG_CACHE_HOME: '/x' }), '/x/mailfleet')
  assert.match(defaultCacheDir({}), /\/\.cache\/mailfleet$/)
})
