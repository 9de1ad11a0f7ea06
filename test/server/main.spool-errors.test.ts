// A spool that is full or read-only at start, or is removed: the server answers 4xx, is not ready, and recovers.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startServer, testFolder, type ServerProcess } from '../kit/server/server-process.ts'
import { startSmtpSink } from '../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail } from '../../mailkit/smtp-dialog.ts'

const DISK_BYTES = 8_388_608

/** Longest wait of these tests. */
const TIMEOUT_MS = 30_000

/** Starts a server with a small tmpfs as its spool. A shell runs `prepare` first. */
function onSmallDisk(spool: string, prepare: string): string[] {
  const disk = ['--size', String(DISK_BYTES), '--tmpfs', spool]
  const shell = ['sh', '-c', `${prepare}; exec "$@"`, 'sh']
  return ['bwrap', '--die-with-parent', '--dev-bind', '/', '/', ...disk, '--', ...shell]
}

/** Sends one message. @returns the last reply */
async function lastReply({ port }: ServerProcess, body = 'x\r\n'): Promise<string> {
  const dialog = await openGreetedDialog(port)
  const message = `Subject: x\r\n\r\n${body}`
  const replies = await sendMail(dialog, { to: ['info@example.org'], message })
  dialog.end()
  return replies.find((reply) => !/^[23]/.test(reply ?? '')) ?? replies.at(-1) ?? ''
}

async function acceptsAgain(instance: ServerProcess): Promise<void> {
  const deadlineMs = Date.now() + TIMEOUT_MS
  while (!(await lastReply(instance)).startsWith('250')) {
    assert.ok(Date.now() < deadlineMs, 'no mail is accepted')
    await sleep(100)
  }
}

const problem = (instance: ServerProcess, reason: string) =>
  instance.metric(`mailfleet_queue_problem{reason="${reason}"}`)
const status = async (instance: ServerProcess, page: string) => (await instance.admin(page)).status

test('a disk full at start: the server answers 4xx, and accepts mail when there is room', async () => {
  const folder = testFolder()
  const spool = join(folder, 'spool')
  mkdirSync(spool)
  const fill = `head -c ${DISK_BYTES} /dev/zero > ${spool}/ballast 2>/dev/null`
  const instance = await startServer({ folder, within: onSmallDisk(spool, fill) })
  assert.match(await lastReply(instance), /^4/)
  assert.equal(await status(instance, '/readyz'), 503)
  assert.equal(await problem(instance, 'spool-full'), 1)
  rmSync(`/proc/${instance.pid}/root${spool}/ballast`)
  await acceptsAgain(instance)
  assert.equal(await status(instance, '/readyz'), 200)
  assert.equal(await status(instance, '/healthz'), 200)
  assert.equal(await problem(instance, 'spool-full'), 0)
  assert.equal(await instance.stop(), 0)
})

test('a queue on a full disk opens, accepts nothing, and delivers its entries', async () => {
  const { port, close } = await startSmtpSink()
  await close()
  const folder = testFolder()
  const spool = join(folder, 'spool')
  const delivery = { relay: { host: '127.0.0.1', port } }
  const retry = { firstMs: 300, maxMs: 300, jitter: 0 }
  const before = await startServer({ folder, config: { delivery, retry } })
  for (let sent = 0; sent < 5; sent++) assert.match(await lastReply(before), /^250/)
  assert.equal(await before.stop(), 0)
  cpSync(spool, `${spool}-before`, { recursive: true })
  const fill = `cp ${spool}-before/* ${spool}; head -c ${DISK_BYTES} /dev/zero > ${spool}/ballast 2>/dev/null`
  const instance = await startServer({
    folder,
    config: { delivery, retry },
    within: onSmallDisk(spool, fill),
  })
  // More bytes than the data file may have free.
  assert.match(await lastReply(instance, 'x'.repeat(78).concat('\r\n').repeat(10_000)), /^452/)
  const sink = await startSmtpSink({ port })
  await sink.received(5)
  assert.equal(await instance.stop(), 0)
  await sink.close()
})

test('a read-only disk: the server is unhealthy and not ready, and accepts mail when it can write', async (t) => {
  const folder = testFolder()
  const spool = join(folder, 'spool')
  mkdirSync(spool)
  if (!mayMount(t)) return
  const waiting = `for i in $(seq 600); do [ -e ${folder}/go ] && break; sleep 0.1; done`
  const script = [
    `mount --bind ${spool} ${spool}`,
    `mount -o remount,bind,ro ${spool}`,
    `(${waiting}; mount -o remount,bind,rw ${spool}) >/dev/null 2>&1 &`,
    'exec "$@"',
  ].join('\n')
  const within = ['unshare', '--map-root-user', '--mount', 'sh', '-c', script, 'sh']
  const instance = await startServer({ folder, within })
  assert.match(await lastReply(instance), /^451/)
  assert.equal(await status(instance, '/readyz'), 503)
  assert.equal(await status(instance, '/healthz'), 503)
  assert.equal(await problem(instance, 'spool-unwritable'), 1)
  writeFileSync(join(folder, 'go'), '')
  await acceptsAgain(instance)
  assert.equal(await status(instance, '/healthz'), 200)
  assert.equal(await status(instance, '/readyz'), 200)
  assert.equal(await instance.stop(), 0)
})

function mayMount(t: TestContext): boolean {
  const may = spawnSync('unshare', ['--map-root-user', '--mount', 'true']).status === 0
  if (!may) t.skip('no user namespaces here: nothing can be mounted')
  return may
}

const TAKEN: Record<string, (spool: string) => void> = {
  'is moved away': (spool) => renameSync(spool, `${spool}-away`),
  'has another queue in its place': (spool) => {
    renameSync(spool, `${spool}-away`)
    cpSync(`${spool}-away`, spool, { recursive: true })
  },
}

for (const [what, take] of Object.entries(TAKEN)) {
  test(`a spool that ${what}: no 250 and not ready until it is back`, async () => {
    const instance = await startServer({})
    const spool = join(instance.folder, 'spool')
    assert.match(await lastReply(instance), /^250/)
    assert.equal(await status(instance, '/readyz'), 200)
    take(spool)
    assert.match(await lastReply(instance), /^451/)
    assert.equal(await status(instance, '/readyz'), 503)
    assert.equal(await problem(instance, 'spool-gone'), 1)
    rmSync(spool, { recursive: true, force: true })
    renameSync(`${spool}-away`, spool)
    assert.match(await lastReply(instance), /^250/)
    assert.equal(await status(instance, '/readyz'), 200)
    assert.equal(await problem(instance, 'spool-gone'), 0)
    assert.equal(await instance.stop(), 0)
  })
}
