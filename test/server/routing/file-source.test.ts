// Routes from a changing file: renamed, edited in place, broken, half-written, missing.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, renameSync, rmdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { InputError } from '../../../input/problems.ts'
import { openFileSource, type ReloadReport } from '../../../server/routing/file-source.ts'
import { loadRoutes } from '../../../server/routing/load.ts'
import { testFolder } from '../../kit/server/server-process.ts'

const POLL_MS = 15
const anyRoutes = () => Promise.resolve()

const table = (alias: string) => `domains: { example.org: { aliases: { ${alias}: [a@b.example] } } }\n`

async function follow(text: string) {
  const file = join(testFolder(), 'routes.yaml')
  writeFileSync(file, text)
  const reports: ReloadReport[] = []
  const source = await openFileSource({
    file,
    pollMs: POLL_MS,
    check: anyRoutes,
    onReload: (report) => reports.push(report),
  })
  return {
    file,
    reports,
    close: source.close,
    aliases: () => [...(source.current()?.get('example.org')?.keys() ?? [])].join(),
    /** Waits for the next load. */
    loaded: async (count: number) => {
      for (let waited = 0; reports.length < count && waited < 10_000; waited += 5) await sleep(5)
      assert.equal(reports.length, count)
    },
  }
}

test('a rename, an edit in place and a change of equal size are loaded', async () => {
  const routes = await follow(table('one'))
  assert.equal(routes.aliases(), 'one')
  writeFileSync(`${routes.file}.new`, table('two'))
  renameSync(`${routes.file}.new`, routes.file)
  await routes.loaded(1)
  assert.equal(routes.aliases(), 'two')
  writeFileSync(routes.file, table('six'))
  await routes.loaded(2)
  assert.equal(routes.aliases(), 'six')
  writeFileSync(
    routes.file,
    JSON.stringify({ domains: { 'example.org': { aliases: { json: ['a@b.example'] } } } }),
  )
  await routes.loaded(3)
  assert.equal(routes.aliases(), 'json')
  routes.close()
})

test('a broken table is reported with the reason, and the last good table stays in use', async () => {
  const routes = await follow(table('good'))
  writeFileSync(routes.file, 'domains: { example.org: { aliases: { x: [nobody] } } }')
  await routes.loaded(1)
  const [report] = routes.reports
  assert.equal(report?.result, 'broken')
  assert.match(report?.result === 'broken' ? report.error : '', /aliases\.x.*a mailbox such as/s)
  assert.equal(routes.aliases(), 'good')
  rmSync(routes.file)
  await routes.loaded(2)
  assert.match(routes.reports[1]?.result === 'broken' ? routes.reports[1].error : '', /ENOENT/)
  assert.equal(routes.aliases(), 'good')
  writeFileSync(routes.file, table('mended'))
  await routes.loaded(3)
  assert.equal(routes.aliases(), 'mended')
  routes.close()
})

test('a file that is being written is loaded only after it stays the same', async () => {
  const routes = await follow(table('old'))
  for (let lines = 1; lines <= 20; lines++) {
    const aliases = Array.from({ length: lines }, (_, n) => `      a${n}: [a@b.example]\n`).join('')
    writeFileSync(routes.file, `domains:\n  example.org:\n    aliases:\n${aliases}`)
    assert.ok(['old', ''].includes(routes.aliases()) || routes.reports.length > 0)
    await sleep(POLL_MS / 3)
  }
  await routes.loaded(Math.max(1, routes.reports.length))
  assert.equal(routes.aliases().split(',').length, 20)
  routes.close()
})

test('at start a missing or broken file is an error', async () => {
  const file = join(testFolder(), 'none.yaml')
  await assert.rejects(
    openFileSource({ file, pollMs: POLL_MS, check: anyRoutes, onReload: () => {} }),
    InputError,
  )
  writeFileSync(file, '{')
  await assert.rejects(
    openFileSource({ file, pollMs: POLL_MS, check: anyRoutes, onReload: () => {} }),
    InputError,
  )
})

test('a table that is too large is reported, and the last good table stays in use', async () => {
  const routes = await follow(table('good'))
  writeFileSync(routes.file, `${table('big')}#${' '.repeat(3_000_000)}`)
  await routes.loaded(1)
  assert.match(routes.reports[0]?.result === 'broken' ? routes.reports[0].error : '', /expected JSON, or at/)
  truncateSync(routes.file, 100_000_000)
  await routes.loaded(2)
  assert.match(routes.reports[1]?.result === 'broken' ? routes.reports[1].error : '', /found 100000000/)
  assert.equal(routes.aliases(), 'good')
  routes.close()
})

test('a fifo, directory or device instead of the file is reported, and the last good table stays in use', async () => {
  const routes = await follow(table('good'))
  rmSync(routes.file)
  execFileSync('mkfifo', [routes.file])
  await routes.loaded(1)
  rmSync(routes.file)
  mkdirSync(routes.file)
  await routes.loaded(2)
  rmdirSync(routes.file)
  symlinkSync('/dev/zero', routes.file)
  await routes.loaded(3)
  const said = routes.reports.map((report) => (report.result === 'loaded' ? 'loaded' : report.error))
  for (const [index, kind] of ['fifo', 'directory', 'device'].entries())
    assert.match(said[index] ?? '', new RegExp(`found a ${kind}$`))
  assert.equal(routes.aliases(), 'good')
  rmSync(routes.file)
  writeFileSync(routes.file, table('back'))
  await routes.loaded(4)
  assert.equal(routes.aliases(), 'back')
  routes.close()
})

test('no report of a broken table prints the file’s content', async () => {
  const routes = await follow(table('good'))
  const contents = [
    'HUSH:x:0:0:HUSH:/HUSH:/bin/sh\n',
    'HUSH: HUSH\n',
    '"HUSH',
    '*HUSH',
    '[HUSH, HUSH]',
    'domains: HUSH',
    `"HUSH${'x'.repeat(300_000)}"`,
  ]
  for (const [index, text] of contents.entries()) {
    writeFileSync(routes.file, text)
    await routes.loaded(index + 1)
    assert.doesNotMatch(JSON.stringify(routes.reports[index]), /HUSH/i)
  }
  routes.close()
})

const manyAliases = (mailbox: string) =>
  JSON.stringify({
    domains: {
      'example.org': {
        aliases: Object.fromEntries(Array.from({ length: 50_000 }, (_, n) => [`a${n}`, [mailbox]])),
      },
    },
  })

test('a large table is parsed on a worker thread and added in parts', async (context) => {
  const bytes = Buffer.from(manyAliases('a@b.example'))
  const parse = context.mock.method(JSON, 'parse')
  let turns = 0
  let counted = setImmediate(function count() {
    turns++
    counted = setImmediate(count)
  })
  const routes = await loadRoutes('routes', bytes, new AbortController().signal)
  clearImmediate(counted)
  assert.equal(routes.get('example.org')?.size, 50_000)
  assert.deepEqual(routes.get('example.org')?.get('a49999'), [{ local: 'a', domain: 'b.example' }])
  assert.ok(!parse.mock.calls.some((call) => String(call.arguments[0]).length > 100_000))
  assert.ok(turns >= 50, `${turns} turns of the event loop`)
})

test('a large broken table has the same error as a small one, and lists a bounded number of problems', async () => {
  const { signal } = new AbortController()
  await assert.rejects(loadRoutes('routes', Buffer.from(manyAliases('HUSH')), signal), (error: unknown) => {
    assert.ok(error instanceof InputError)
    assert.equal(error.problems.length, 101)
    assert.match(error.message, /a0.*expected a mailbox such as.*found 49900 more problems$/s)
    assert.doesNotMatch(error.message, /HUSH/)
    return true
  })
})

test('closing a source ends the worker thread of its load', async () => {
  const closing = new AbortController()
  const load = loadRoutes('routes', Buffer.from(manyAliases('a@b.example')), closing.signal)
  setImmediate(() => closing.abort(new Error('closed')))
  await assert.rejects(load, /closed/)
  assert.ok(!process.getActiveResourcesInfo().includes('MessagePort'))
})
