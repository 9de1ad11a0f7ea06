// `mailfleet image publish` and `image promote` as a person runs them, against moto: what they print, where they stop.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { startMoto } from '../../aws/moto.ts'
import { startEbsProxy } from '../../fakes/ebs-proxy.ts'
import { madeUpImage, STORED } from './made-up.ts'

const moto = await startMoto()
const { skip } = moto
const launcher = join(import.meta.dirname, '../../../scripts/run.mjs')

function start(args: string[], env: Record<string, string>) {
  const ours = Object.entries(process.env).filter(([name]) => !name.startsWith('AWS_'))
  const child = spawn(process.execPath, [launcher, 'image', ...args], {
    env: { ...Object.fromEntries(ours), ...moto.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const done = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  const ended = done.then(([stdout, stderr, [code]]) => ({ stdout, stderr, code: code as number }))
  return { child, ended }
}

test(
  'publish and promote: progress on standard error, one JSON document on standard output',
  { skip },
  async (t) => {
    const proxy = await startEbsProxy(moto.client.endpoint)
    t.after(proxy.close)
    const { folder, digest } = madeUpImage('json')
    const env = { AWS_ENDPOINT_URL: proxy.endpoint }
    const published = await start(['publish', folder, '--json', '--verify'], env).ended
    assert.equal(published.code, 0, published.stderr)
    const result = JSON.parse(published.stdout) as Record<string, string>
    assert.equal(result['digest'], digest)
    assert.match(published.stderr, /█{20} 100 %, 2 of 2 MiB, \d+\.\d MiB\/s/)
    // A tenth of the way a line at the most, and never one a block.
    assert.ok(published.stderr.split('\n').filter((line) => line.includes('%')).length <= STORED.length)
    const promoted = await start(['promote', folder, '--channel', 'candidate'], env).ended
    assert.equal(promoted.code, 0, promoted.stderr)
    const expected = `/mailfleet/candidate/image in eu-west-1: nothing → ${result['imageId']}\n`
    assert.equal(promoted.stdout, expected)
  },
)

test('Ctrl-C in the middle leaves what the next run finishes', { skip }, async (t) => {
  const proxy = await startEbsProxy(moto.client.endpoint)
  t.after(proxy.close)
  const { folder } = madeUpImage('ctrl-c')
  const env = { AWS_ENDPOINT_URL: proxy.endpoint }
  const never = new Promise<void>(() => {})
  const first = start(['publish', folder], env)
  let blocks = 0
  proxy.onOperation = async (operation) => {
    if (operation !== 'PutSnapshotBlock') return
    if (++blocks === STORED.length) first.child.kill('SIGINT')
    await never
  }
  const { code, stderr } = await first.ended
  assert.equal(code, 130)
  assert.match(stderr, /stopped before it was done\n$/)
  assert.ok(!existsSync(join(folder, 'published.json')))
  proxy.onOperation = () => {}
  const second = await start(['publish', folder], env).ended
  assert.equal(second.code, 0, second.stderr)
  assert.match(second.stdout, /going on with snapshot snap-\w+, which an earlier run began/)
  assert.equal(proxy.count('StartSnapshot'), 1)
  assert.match(readFileSync(join(folder, 'published.json'), 'utf8'), /"imageId": "ami-/)
})

test('what AWS refuses is one sentence and exit 1, without a stack', { skip }, async (t) => {
  const proxy = await startEbsProxy(moto.client.endpoint)
  t.after(proxy.close)
  proxy.faults.push({ operation: 'StartSnapshot', times: 9, status: 403, code: 'AccessDeniedException' })
  const { folder } = madeUpImage('refused')
  const { code, stderr } = await start(['publish', folder], { AWS_ENDPOINT_URL: proxy.endpoint }).ended
  assert.equal(code, 1)
  assert.match(stderr, /^AWS does not allow this with these credentials .*\n$/)
})
