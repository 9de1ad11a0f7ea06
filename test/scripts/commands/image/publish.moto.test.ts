// `mailfleet image publish` and `image promote` as the operator runs them, against moto.
import { DescribeSnapshotsCommand } from '@aws-sdk/client-ec2'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { connectAws } from '../../../../images/publish/aws/clients.ts'
import { startMoto } from '../../../kit/aws/moto.ts'
import { startEbsProxy } from '../../../kit/aws/ebs-proxy.ts'
import { madeUpImage, STORED } from '../../../kit/images/fake-image.ts'

const moto = await startMoto()
const { skip } = moto
const launcher = join(import.meta.dirname, '../../../../scripts/run.mjs')

/** @param detached in a group of processes of its own, so that launcher and command can be killed as one */
function start(args: string[], env: Record<string, string>, detached = false) {
  const ours = Object.entries(process.env).filter(([name]) => !name.startsWith('AWS_'))
  const child = spawn(process.execPath, [launcher, 'image', ...args], {
    env: { ...Object.fromEntries(ours), ...moto.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached,
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

test('after Ctrl-C half-way the next run finishes the work', { skip }, async (t) => {
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

test('a refusal of AWS is one sentence and exit 1, without a stack trace', { skip }, async (t) => {
  const proxy = await startEbsProxy(moto.client.endpoint)
  t.after(proxy.close)
  proxy.faults.push({ operation: 'StartSnapshot', times: 9, status: 403, code: 'AccessDeniedException' })
  const { folder } = madeUpImage('refused')
  const { code, stderr } = await start(['publish', folder], { AWS_ENDPOINT_URL: proxy.endpoint }).ended
  assert.equal(code, 1)
  assert.match(stderr, /^AWS does not allow this with these credentials .*\n$/)
})

/** One region after another, so that each stage is one that a kill can hit. */
const STAGES = [
  ['StartSnapshot', 1],
  ['PutSnapshotBlock', 3],
  ['CompleteSnapshot', 1],
  ['RegisterImage', 1],
  ['CopySnapshot', 1],
  // Of the copy: the first one's image is there by now.
  ['RegisterImage', 1],
  ['ModifyImageAttribute', 1],
] as const

test('after a kill at any stage the next run finishes, and nothing exists twice', { skip }, async (t) => {
  const proxy = await startEbsProxy(moto.client.endpoint)
  t.after(proxy.close)
  const env = { AWS_ENDPOINT_URL: proxy.endpoint }
  const where = ['--copy-to', 'us-east-1', '--share', '111122223333', '--parent', 'none', '--json']
  const { folder, digest } = madeUpImage('killed')
  let blocks = 0
  for (const [stage, nth] of STAGES) {
    // What was asked for before the kill may have been done or not: here it is done, and its answer is lost.
    const run = start(['publish', folder, ...where], env, true)
    let seen = 0
    proxy.onOperation = (operation) => {
      if (operation === 'PutSnapshotBlock') blocks++
      if (operation === stage && ++seen === nth) process.kill(-run.child.pid!, 'SIGKILL')
    }
    assert.notEqual((await run.ended).code, 0, `${stage} ${nth}`)
  }
  proxy.onOperation = () => {}
  const last = await start(['publish', folder, ...where], env).ended
  assert.equal(last.code, 0, last.stderr)
  const { imageId, copies } = JSON.parse(last.stdout) as { imageId: string; copies: { imageId: string }[] }
  assert.deepEqual([...proxy.images.keys()].sort(), [imageId, copies[0]!.imageId].sort())
  for (const region of ['eu-west-1', 'us-east-1']) {
    const { ec2 } = await connectAws({ ...moto.client, endpoint: proxy.endpoint, region })
    const Filters = [{ Name: 'tag:mailfleet:digest', Values: [digest] }]
    const { Snapshots = [] } = await ec2.send(new DescribeSnapshotsCommand({ Filters }))
    assert.equal(Snapshots.length, 1, region)
  }
  assert.ok(blocks >= STORED.length)
})

test('promote, history, revert and prune print what they changed', { skip }, async (t) => {
  const proxy = await startEbsProxy(moto.client.endpoint)
  t.after(proxy.close)
  // A region of its own: a prune is about all that is there.
  const env = { AWS_ENDPOINT_URL: proxy.endpoint, AWS_REGION: 'eu-west-3' }
  const run = async (...args: string[]) => {
    const ended = await start(args, env).ended
    assert.equal(ended.code, 0, `${args.join(' ')}: ${ended.stderr}`)
    return ended.stdout
  }
  const ids = []
  for (const seed of ['one', 'two']) {
    const { folder } = madeUpImage(`person ${seed}`)
    ids.push((JSON.parse(await run('publish', folder, '--json')) as { imageId: string }).imageId)
    await run('promote', folder, '--channel', 'person')
  }
  const [one, two] = ids
  const channel = ['--channel', 'person']
  assert.equal(await run('revert', ...channel), `/mailfleet/person/image in eu-west-3: ${two} → ${one}\n`)
  const history = (await run('history', ...channel)).split('\n')
  assert.match(history[0]!, new RegExp(`${one}  \\w{12}  revert$`))
  assert.match(history[1]!, new RegExp(`${two}  \\w{12}  promote  \\(taken back\\)$`))
  const pruned = await run('prune', '--grace', '0d')
  assert.match(pruned, new RegExp(`keep       ${one}  \\w{12}  the image of channel person`))
  assert.match(pruned, new RegExp(`keep       ${two}  \\w{12}  the newest: `))
  assert.equal(proxy.count('EnableImageDeprecation'), 0)
  const again = start(['revert', ...channel], env)
  const { code, stderr } = await again.ended
  assert.equal(code, 1)
  assert.equal(stderr, 'channel person in eu-west-3 has no earlier image to go back to\n')
  const soak = await start(['promote', ...channel, '--soak', '1d'], env).ended
  assert.equal(soak.code, 2)
  assert.match(soak.stderr, /--soak needs --after CHANNEL/)
})
