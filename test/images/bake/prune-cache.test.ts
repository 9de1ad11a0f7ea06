// Pruning of the cache: abandoned temporary folders and superseded results go, those in use stay.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { runStage, temporaryFolder } from '../../../images/cache.ts'
import { pruneCache, supersededStages } from '../../../images/bake/prune-cache.ts'

const newCache = () => mkdtempSync(join(tmpdir(), 'mailfleet-cache-'))
const emptyModule = join(newCache(), 'empty.ts')
writeFileSync(emptyModule, '')
const HOUR_MS = 60 * 60 * 1000
const DAY_MS = 24 * HOUR_MS

const stageOf = (cacheDir: string, inputs: unknown) => ({
  run: () =>
    runStage(cacheDir, {
      name: 'example',
      inputs,
      code: emptyModule,
      run: (folder) => {
        writeFileSync(join(folder, 'out'), JSON.stringify(inputs))
        return Promise.resolve()
      },
    }),
})

test('the temporary folder of a killed build is removed, that of a running one stays', async () => {
  const cacheDir = newCache()
  await using mine = temporaryFolder(cacheDir, 'mine')
  // Unpacking an archive gives a folder the archive's old date. The folder is in use all the same.
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

test('a result made of files with old dates is not old', async () => {
  const cacheDir = newCache()
  const { path } = await runStage(cacheDir, {
    name: 'tools',
    inputs: 1,
    code: emptyModule,
    run: (folder) => {
      writeFileSync(join(folder, 'file'), '')
      utimesSync(folder, new Date(0), new Date(0))
      return Promise.resolve()
    },
  })
  await pruneCache(cacheDir)
  assert.equal(existsSync(path), true)
})

test('the last results used of each stage are kept, and all that were used within the hour', () => {
  const results = [
    ...[1, 2, 3, 4, 5, 6].map((n) => ({ name: `root-a${n}`, idleMs: n * 2 * HOUR_MS })),
    ...[1, 2, 3, 4, 5, 6].map((n) => ({ name: `esp-b${n}`, idleMs: n })),
    { name: 'tools-c', idleMs: 15 * DAY_MS },
  ]
  assert.deepEqual(supersededStages(results).sort(), ['root-a5', 'root-a6', 'tools-c'])
})

test('a result that a sandbox has mounted is never removed', async () => {
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
