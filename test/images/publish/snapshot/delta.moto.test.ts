// Publishing over a parent: only what differs is sent, what became zero is zero, and what comes out is the disk whoever
// the parent is, wherever its content is known from.
import { DeleteSnapshotCommand, DeregisterImageCommand } from '@aws-sdk/client-ec2'
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { publishToAws } from '../../../../images/publish/publish.ts'
import { startMoto } from '../../../kit/aws/moto.ts'
import { BLOCK, madeUpImage, STORED, type MadeUpImage } from '../../../kit/images/fake-image.ts'
import { publishing } from '../../../kit/images/publishing.ts'

const moto = await startMoto()
const { skip } = moto

/** Over the fake disk: block 1 differs, 4 is zero, 5 is new, 0 and 7 are equal. */
function laterImage(before: MadeUpImage): MadeUpImage {
  return madeUpImage('later', {}, (bytes) => {
    before.bytes.copy(bytes)
    bytes.fill(0, 4 * BLOCK, 5 * BLOCK)
    bytes.write('changed', BLOCK)
    bytes.write('new', 5 * BLOCK)
  })
}
const CHANGED = [1, 4, 5]

/** Publishes an image and makes ready to publish another over it, through one proxy. */
async function two(t: TestContext, seed: string) {
  const first = madeUpImage(seed)
  const { options, ...rest } = await publishing(moto, t, first)
  const parent = await publishToAws(options)
  const later = laterImage(first)
  rest.proxy.operations.length = 0
  return {
    ...rest,
    first,
    later,
    parent,
    options: {
      ...options,
      folder: later.folder,
      parent: parent.imageId as `ami-${string}`,
      verify: 'all' as const,
    },
  }
}

function holds(stored: Map<number, Buffer>, { bytes }: MadeUpImage): void {
  const disk = Buffer.concat([bytes, Buffer.alloc(8 * BLOCK - bytes.length)])
  for (let index = 0; index < 8; index++) {
    const expected = disk.subarray(index * BLOCK, (index + 1) * BLOCK)
    assert.ok((stored.get(index) ?? Buffer.alloc(BLOCK)).equals(expected), `block ${index}`)
  }
}

test('only what differs is sent, and a block that became zero is written as zeroes', { skip }, async (t) => {
  const { options, proxy, later, said } = await two(t, 'delta')
  const { snapshotId } = await publishToAws(options)
  assert.deepEqual([...proxy.rules.written(snapshotId).keys()].sort(), CHANGED)
  assert.equal(proxy.count('PutSnapshotBlock'), CHANGED.length)
  assert.ok(proxy.rules.written(snapshotId).get(4)!.equals(Buffer.alloc(BLOCK)))
  holds(proxy.rules.blocks(snapshotId), later)
  assert.match(said.join('\n'), /3 of 4 blocks to send \(over snap-\w+, 1 zeroed\), 1\.5 MiB, \$0\.000018/)
})

test('where the parent’s disk is here, it is not read back', { skip }, async (t) => {
  const { options, proxy, first, later } = await two(t, 'local')
  const images = mkdtempSync(join(tmpdir(), 'mailfleet-images-'))
  t.after(() => rmSync(images, { recursive: true }))
  for (const { digest, folder } of [first, later]) cpSync(folder, join(images, digest), { recursive: true })
  const folder = join(images, later.digest)
  const { snapshotId } = await publishToAws({ ...options, folder, verify: 'none' })
  assert.equal(proxy.count('GetSnapshotBlock'), 0)
  assert.deepEqual([...proxy.rules.written(snapshotId).keys()].sort(), CHANGED)
  holds(proxy.rules.blocks(snapshotId), later)
})

test('a disk here that is not what AWS lists is not believed', { skip }, async (t) => {
  const { options, proxy, first, later, parent } = await two(t, 'hollow')
  const images = mkdtempSync(join(tmpdir(), 'mailfleet-images-'))
  t.after(() => rmSync(images, { recursive: true }))
  for (const { digest, folder } of [first, later]) cpSync(folder, join(images, digest), { recursive: true })
  proxy.rules.lose(parent.snapshotId, 7)
  const { snapshotId } = await publishToAws({ ...options, folder: join(images, later.digest) })
  assert.ok(proxy.rules.written(snapshotId).has(7))
  holds(proxy.rules.blocks(snapshotId), later)
})

test('a list of many pages is read to its end', { skip }, async (t) => {
  const { options, proxy, later } = await two(t, 'pages')
  proxy.pageBlocks = 1
  const { snapshotId } = await publishToAws(options)
  assert.ok(proxy.count('ListSnapshotBlocks') >= 2 * STORED.length)
  holds(proxy.rules.blocks(snapshotId), later)
})

test('the newest image of ours is the parent, and one that cannot be read is none', { skip }, async (t) => {
  const { options, proxy, later, said } = await two(t, 'newest')
  proxy.faults.push({ operation: 'ListSnapshotBlocks', times: 1, status: 403, code: 'AccessDeniedException' })
  const full = await publishToAws({ ...options, parent: 'auto' })
  assert.match(said.join('\n'), /snapshot snap-\w+ cannot be read .*; sending all blocks/)
  assert.equal(proxy.rules.written(full.snapshotId).size, 4)
  const { bytes } = later
  const third = madeUpImage('third', {}, (disk) => {
    bytes.copy(disk)
    disk.write('third', 0)
  })
  // A second later than the one before it, so it is the newest.
  proxy.images.get(full.imageId)!.createdAt = '2999-01-01T00:00:00.000Z'
  const { snapshotId } = await publishToAws({ ...options, folder: third.folder, parent: 'auto' })
  assert.deepEqual([...proxy.rules.written(snapshotId).keys()], [0])
  holds(proxy.rules.blocks(snapshotId), third)
})

test(
  'an account that encrypts by default refuses the parent; all blocks are sent then',
  { skip },
  async (t) => {
    const { options, proxy, parent, later, said } = await two(t, 'refused')
    proxy.images.get(parent.imageId)!.createdAt = '2999-02-01T00:00:00.000Z'
    proxy.faults.push({ operation: 'StartSnapshot', times: 1, status: 400, code: 'ValidationException' })
    const { snapshotId } = await publishToAws({ ...options, parent: 'auto' })
    assert.match(said.join('\n'), /does not take snapshot snap-\w+ as a parent; sending all blocks/)
    assert.equal(proxy.rules.written(snapshotId).size, 4)
    holds(proxy.rules.blocks(snapshotId), later)
  },
)

test(
  'a parent that is encrypted otherwise, or is not there, is refused when it is named',
  { skip },
  async (t) => {
    const { options } = await two(t, 'named')
    const refused = /image ami-\w+ cannot be the parent: /
    await assert.rejects(publishToAws({ ...options, encrypt: true }), refused)
    await assert.rejects(publishToAws({ ...options, parent: 'ami-1234' }), refused)
  },
)

test('encrypted over an encrypted parent: nothing is said of encryption, and the key is inherited', async (t) => {
  if (skip !== false) return t.skip(skip)
  const first = madeUpImage('key')
  const { options, proxy } = await publishing(moto, t, first)
  const kmsKey = 'arn:aws:kms:eu-west-1:123456789012:key/own'
  const wish = { ...options, encrypt: true, kmsKey }
  const parent = await publishToAws(wish)
  const later = laterImage(first)
  const folder = later.folder
  const { snapshotId } = await publishToAws({ ...wish, folder, parent: parent.imageId as `ami-${string}` })
  assert.equal(proxy.keys.get(snapshotId), kmsKey)
  assert.equal(proxy.rules.written(snapshotId).size, CHANGED.length)
})

test(
  'stopped in the middle, it goes on over the same parent, and sends what is not recorded',
  { skip },
  async (t) => {
    const { options, proxy, later, snapshots } = await two(t, 'stopped')
    const stopping = new AbortController()
    let blocks = 0
    proxy.onOperation = (operation) => {
      if (operation === 'PutSnapshotBlock' && ++blocks === 2) stopping.abort(new Error('told to stop'))
    }
    await assert.rejects(publishToAws({ ...options, signal: stopping.signal }), /told to stop/)
    proxy.onOperation = () => {}
    // The parent is known by the snapshot's tag, whatever is asked for now.
    const { snapshotId } = await publishToAws({ ...options, parent: 'none' })
    assert.deepEqual([...proxy.rules.written(snapshotId).keys()].sort(), CHANGED)
    holds(proxy.rules.blocks(snapshotId), later)
    assert.equal(proxy.count('StartSnapshot'), 1)
    assert.equal((await snapshots()).length, 1)
  },
)

test('begun over a parent that is gone, a snapshot is replaced', { skip }, async (t) => {
  const { options, proxy, aws, later, parent } = await two(t, 'gone')
  proxy.faults.push({ operation: 'CompleteSnapshot', times: 1, status: 403, code: 'AccessDeniedException' })
  await assert.rejects(publishToAws(options), /does not allow/)
  await aws.ec2.send(new DeregisterImageCommand({ ImageId: parent.imageId }))
  await aws.ec2.send(new DeleteSnapshotCommand({ SnapshotId: parent.snapshotId }))
  const { snapshotId } = await publishToAws({ ...options, parent: 'none' })
  assert.equal(proxy.rules.written(snapshotId).size, 4)
  holds(proxy.rules.blocks(snapshotId), later)
})

test(
  'a snapshot that does not come out as the disk becomes no image, and does not stay',
  { skip },
  async (t) => {
    const { options, proxy, later } = await two(t, 'flipped')
    proxy.onOperation = (operation) => {
      // The parent's block 0 rots between its being read and its showing through.
      if (operation === 'StartSnapshot') proxy.rules.flip(parentOf(), 0)
    }
    const parentOf = () => [...proxy.images.values()][0]!.form.get('BlockDeviceMapping.1.Ebs.SnapshotId')!
    await assert.rejects(publishToAws(options), /snapshot snap-\w+ is not the disk: block 0 differs/)
    assert.equal(proxy.count('RegisterImage'), 0)
    assert.equal(proxy.count('DeleteSnapshot'), 1)
    proxy.onOperation = () => {}
    const limits = { ...options.limits!, appearMs: 0 }
    const { snapshotId } = await publishToAws({ ...options, limits, parent: 'none' })
    holds(proxy.rules.blocks(snapshotId), later)
  },
)
