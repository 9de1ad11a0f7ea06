// `mailfleet test` itself: a stop ends it promptly with every process that a test started, and its summary counts
// the tests that were skipped because moto is missing.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { summaryFigures } from '../../../scripts/commands/test.ts'

/** A test that starts a process which ignores signals, writes down its id, and never ends. */
const ENDLESS = `
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
test('endless', async () => {
  const stubborn = "process.on('SIGTERM', () => {}); process.on('SIGINT', () => {}); setInterval(() => {}, 1000); console.log('up')"
  const child = spawn(process.execPath, ['--eval', stubborn], { detached: true })
  child.stdout.once('data', () => writeFileSync(process.env.PID_FILE, String(child.pid)))
  process.on('SIGTERM', () => {})
  process.on('SIGINT', () => {})
  await new Promise(() => setInterval(() => {}, 1000))
})
`
const PROGRAM = `
const { runTests } = await import(${JSON.stringify(join(import.meta.dirname, '../../../scripts/commands/test.ts'))})
const stop = new AbortController()
process.on('SIGINT', () => stop.abort())
const options = { root: process.argv[2], full: false, only: [], signal: stop.signal }
process.exitCode = await runTests(options).catch((error) => (console.error(error.message), 130))
process.exit()
`

/** Empty for a process that has ended, whether its parent has noticed or not. */
function commandLine(pid: string): string {
  const file = `/proc/${pid}/cmdline`
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

test('a stop ends the running file and everything that it started, also what ignores signals', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'test-command-'))
  t.after(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'test'))
  writeFileSync(join(folder, 'test/endless.test.ts'), ENDLESS)
  const program = join(folder, 'program.mjs')
  writeFileSync(program, PROGRAM)
  const pidFile = join(folder, 'pid')
  const child = spawn(process.execPath, [program, folder], {
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, PID_FILE: pidFile },
    stdio: 'ignore',
  })
  while (!existsSync(pidFile) || readFileSync(pidFile, 'utf8') === '') await sleep(20)
  child.kill('SIGINT')
  const [code] = (await once(child, 'close')) as [number]
  assert.equal(code, 130)
  assert.equal(commandLine(readFileSync(pidFile, 'utf8')), '')
})

test('the summary counts the tests that were skipped because moto is not installed', () => {
  const skipped = [
    { name: 'a', why: 'moto is not installed: node scripts/setup.mjs --test' },
    { name: 'b', why: 'strace cannot trace here' },
  ]
  const report = { passed: 3, failed: 0, skipped, groups: {} }
  assert.ok(summaryFigures(report, 1).includes('skipped 2, 1 of them because moto is not installed'))
  assert.ok(summaryFigures({ ...report, skipped: [] }, 1).includes('skipped 0'))
})
