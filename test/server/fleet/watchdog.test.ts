// The watchdog of a real server process. It reports while it works, and stops when its event loop, its thread pool or the
// whole process is stuck. systemd-notify is a script here that appends its argument to a file.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { intervalMs } from '../../../server/fleet/watchdog.ts'
import { startServer, testFolder } from '../../kit/server/server-process.ts'

const INTERVAL_MS = 50
/** Long enough for a machine under load; a test that waits longer hangs. */
const PATIENCE_MS = 30_000

/** On SIGUSR2 the event loop stands still as long as there is a file `blocked`; on SIGURG the thread pool does. */
const BLOCKER = (folder: string) => `
  import { existsSync, open, writeFileSync } from 'node:fs'
  process.on('SIGUSR2', () => {
    writeFileSync('${folder}/stands', '')
    while (existsSync('${folder}/blocked')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
  })
  process.on('SIGURG', () => {
    for (let n = 0; n < 4; n++) open('${folder}/fifo', 'r', () => {})
    writeFileSync('${folder}/stands', '')
  })`

async function watched(t: TestContext) {
  const folder = testFolder()
  const reports = join(folder, 'reports')
  writeFileSync(reports, '')
  writeFileSync(join(folder, 'systemd-notify'), `#!/bin/sh\necho "$$ $1" >> ${reports}\n`)
  chmodSync(join(folder, 'systemd-notify'), 0o755)
  writeFileSync(join(folder, 'blocker.mjs'), BLOCKER(folder))
  execFileSync('mkfifo', [join(folder, 'fifo')])
  const server = await startServer({
    folder,
    within: ['sh', '-c', 'WATCHDOG_PID=$$ exec "$@"', 'sh'],
    env: {
      PATH: `${folder}:${process.env['PATH']}`,
      NOTIFY_SOCKET: '/nonexistent',
      WATCHDOG_USEC: String(4 * INTERVAL_MS * 1000),
      NODE_OPTIONS: `--import=${join(folder, 'blocker.mjs')}`,
    },
  })
  t.after(() => existsSync(`/proc/${server.pid}`) && server.signal('SIGKILL'))
  const count = () => readFileSync(reports, 'utf8').split('\n').length - 1
  /** Waits until there are more reports than there were. */
  const more = async () => {
    const before = count()
    await until(() => count() > before, 'a report')
  }
  /** Waits until no report has come for twenty intervals. */
  const silence = async () => {
    let before = -1
    const isSilent = async () => {
      before = count()
      await sleep(20 * INTERVAL_MS)
      return before === count()
    }
    await until(isSilent, 'silence')
  }
  const stands = () => until(() => existsSync(join(folder, 'stands')), 'the server stands still')
  return { server, folder, reports, count, more, silence, stands }
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await sleep(10))
    if (await condition()) return
  throw new Error(`not within ${PATIENCE_MS / 1000} s: ${what}`)
}

const helpersOf = (pid: number) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)

test('a working server reports WATCHDOG=1, and stops while its event loop is blocked', async (t) => {
  const { server, folder, reports, more, silence, stands } = await watched(t)
  await more()
  assert.match(readFileSync(reports, 'utf8'), /^\d+ WATCHDOG=1\n/)
  writeFileSync(join(folder, 'blocked'), '')
  server.signal('SIGUSR2')
  await stands()
  await silence()
  rmSync(join(folder, 'blocked'))
  await more()
})

test('a server that is stopped (SIGSTOP) does not report', async (t) => {
  const { server, more, silence } = await watched(t)
  await more()
  server.signal('SIGSTOP')
  await silence()
  server.signal('SIGCONT')
  await more()
})

test('a server whose thread pool is stuck does not report', async (t) => {
  const { server, more, silence, stands } = await watched(t)
  await more()
  server.signal('SIGURG')
  await stands()
  await silence()
})

test('a helper that ended is restarted, and none outlives the server', async (t) => {
  const { server, more } = await watched(t)
  await more()
  for (const helper of helpersOf(server.pid)) process.kill(helper, 'SIGKILL')
  await more()
  const helpers = helpersOf(server.pid)
  assert.equal(helpers.length, 1)
  server.signal('SIGKILL')
  await server.exited()
  await until(() => helpers.every((pid) => !existsSync(`/proc/${pid}`)), 'the helper ended')
})

test('reports are due four times within the time that systemd gives this process', () => {
  const env = { NOTIFY_SOCKET: '/run/systemd/notify', WATCHDOG_USEC: '60000000', WATCHDOG_PID: '7' }
  assert.equal(intervalMs(env, 7), 15_000)
  assert.equal(intervalMs(env, 8), null)
  assert.equal(intervalMs({ ...env, WATCHDOG_USEC: undefined }, 7), null)
  assert.equal(intervalMs({ ...env, NOTIFY_SOCKET: undefined }, 7), null)
})
