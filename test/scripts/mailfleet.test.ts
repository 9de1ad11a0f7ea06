// The command line as the operator uses it: help, exit codes, and errors that say what to do.
import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'

const launcher = join(import.meta.dirname, '../../scripts/run.mjs')
const mailfleet = (...args: string[]) =>
  spawnSync(process.execPath, [launcher, ...args], { encoding: 'utf8' })

test('every command has help', () => {
  for (const command of [
    [],
    ['start'],
    ['test'],
    ['image'],
    ['image', 'build'],
    ['image', 'lock'],
    ['image', 'test'],
    ['image', 'publish'],
    ['image', 'promote'],
    ['fleet'],
    ['fleet', 'up'],
  ]) {
    const { status, stdout } = mailfleet(...command, '--help')
    assert.equal(status, 0, command.join(' '))
    assert.match(stdout, /^Usage: mailfleet/)
  }
})

test('an unknown command or option is a usage error: exit 2 and the help', () => {
  for (const args of [
    ['strat'],
    ['start', '--jsn'],
    ['image', 'test', '--timeout', 'soon'],
    ['image', 'test', '--accel', 'hvf'],
    ['image', 'publish', '--region'],
    ['image', 'publish', '--encrypted'],
    ['image', 'publish', 'one', 'two'],
    ['image', 'promote'],
    ['image', 'promote', '--channel', 'Prod'],
    ['image', 'promote', '--channel', 'prod', '--dry-run'],
    ['fleet', 'up'],
  ]) {
    const { status, stderr } = mailfleet(...args)
    assert.equal(status, 2, args.join(' '))
    assert.match(stderr, /^error: .*\n[^]*Usage: mailfleet/)
  }
})

test('bad input is exit 2, names all problems of the file at once, and writes nothing', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'command-line-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'fleet.yaml')
  writeFileSync(
    file,
    'directory: fleet\nroutesFile: routes.yaml\nserver: { srs: { domain: nodots }, listen: {}, fleet: {}, queue: { engine: aws } }\n',
  )
  const { status, stdout, stderr } = mailfleet('fleet', 'up', '--config', file)
  assert.equal(status, 2)
  assert.equal(stdout, '')
  assert.equal(
    stderr.replace(file, 'F'),
    [
      'F: 7 problems',
      '  server.listen: expected no such key in a fleet, found this key',
      '  server.fleet: expected no such key in a fleet, found this key',
      '  server.queue.engine: expected embedded: instances on one machine share its disk, found "aws"',
      '  server.hostname: expected a value, found nothing',
      '  server.postmaster: expected a value, found nothing',
      '  server.srs.domain: expected a full host name such as mx1.example.net, found "nodots"',
      '  server.srs.secrets: expected at least one secret, or else a secretsParameter, found nothing',
      '',
    ].join('\n'),
  )
})

/** `image build` with an empty cache, held up by a mirror that never answers; resolves once it has asked. */
async function heldUp(
  t: TestContext,
): Promise<{ child: ChildProcessByStdio<null, null, Readable>; connection: Socket }> {
  const asked = Promise.withResolvers<Socket>()
  const silentMirror = createServer((socket) => asked.resolve(socket.on('error', () => {}))).listen(
    0,
    '127.0.0.1',
  )
  const folder = mkdtempSync(join(tmpdir(), 'command-line-'))
  t.after(() => {
    silentMirror.close()
    rmSync(folder, { recursive: true })
  })
  await once(silentMirror, 'listening')
  const { port } = silentMirror.address() as AddressInfo
  const child = spawn(process.execPath, [launcher, 'image', 'build'], {
    env: { ...process.env, MAILFLEET_CACHE: folder, MAILFLEET_MIRROR: `http://127.0.0.1:${port}/debian` },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return { child, connection: (await asked.promise).resume() }
}

test('when the launcher is killed, its command and that command’s programs end', async (t) => {
  const { child, connection } = await heldUp(t)
  child.kill('SIGKILL')
  await once(connection, 'close')
})

test('a command that is told to stop prints that, and exits with 128 + the signal', async (t) => {
  const { child } = await heldUp(t)
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.kill('SIGINT')
  const [code] = (await once(child, 'close')) as [number]
  assert.equal(code, 130)
  assert.match(said, /stopped before it was done\n$/)
})
