// Publishing over HTTP with AWS's own client, against moto behind a proxy that is as strict as AWS: what is stored is
// the disk, nothing is made twice, and what an earlier run left half done is finished.
import { GetSnapshotBlockCommand, ListSnapshotBlocksCommand, StartSnapshotCommand } from '@aws-sdk/client-ebs'
import { DeregisterImageCommand, DescribeImagesCommand, type Tag } from '@aws-sdk/client-ec2'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { publishToAws } from '../../../images/publish/publish.ts'
import { startMoto } from '../../kit/aws/moto.ts'
import { DEFAULT_KEY } from '../../kit/aws/aws-answers.ts'
import { BLOCK, SHORT_LIMITS, madeUpImage, STORED } from '../../kit/images/fake-image.ts'
import { publishing } from '../../kit/images/publishing.ts'

const moto = await startMoto()
const { skip } = moto

test('the blocks in AWS are those of the disk, and the zero blocks are not there', { skip }, async (t) => {
  const image = madeUpImage('stored')
  const { options, aws, proxy } = await publishing(moto, t, image)
  const sent: number[] = []
  const { snapshotId } = await publishToAws({
    ...options,
    onBytes: (bytes, total) => sent.push(bytes / total),
  })
  const { Blocks = [] } = await aws.ebs.send(new ListSnapshotBlocksCommand({ SnapshotId: snapshotId }))
  assert.deepEqual(Blocks.map(({ BlockIndex }) => BlockIndex).sort(), STORED)
  const padded = Buffer.concat([image.bytes, Buffer.alloc(8 * BLOCK - image.bytes.length)])
  for (const { BlockIndex = 0, BlockToken } of Blocks) {
    const request = { SnapshotId: snapshotId, BlockIndex, BlockToken }
    const { BlockData } = await aws.ebs.send(new GetSnapshotBlockCommand(request))
    const stored = Buffer.from(await BlockData!.transformToByteArray())
    assert.ok(stored.equals(padded.subarray(BlockIndex * BLOCK, (BlockIndex + 1) * BLOCK)), `${BlockIndex}`)
  }
  assert.equal(proxy.count('PutSnapshotBlock'), STORED.length)
  assert.deepEqual(sent, [0.25, 0.5, 0.75, 1])
})

test('the AMI boots by UEFI with a TPM and IMDSv2 from the snapshot, and its tags say what it is', async (t) => {
  if (skip !== false) return t.skip(skip)
  const image = madeUpImage('registered')
  const { options, aws, proxy, snapshots } = await publishing(moto, t, image)
  const { imageId, snapshotId } = await publishToAws(options)
  const asked = Object.fromEntries(proxy.registered[0] ?? [])
  const expected = {
    Name: `mailfleet-${image.digest}`,
    Architecture: 'x86_64',
    BootMode: 'uefi',
    TpmSupport: 'v2.0',
    ImdsSupport: 'v2.0',
    EnaSupport: 'true',
    SriovNetSupport: 'simple',
    RootDeviceName: '/dev/xvda',
    'BlockDeviceMapping.1.DeviceName': '/dev/xvda',
    'BlockDeviceMapping.1.Ebs.SnapshotId': snapshotId,
    'BlockDeviceMapping.1.Ebs.VolumeType': 'gp3',
    'BlockDeviceMapping.1.Ebs.DeleteOnTermination': 'true',
  }
  for (const [key, value] of Object.entries(expected)) assert.equal(asked[key], value, key)
  const { Images = [] } = await aws.ec2.send(new DescribeImagesCommand({ ImageIds: [imageId] }))
  const receipt = createHash('sha256')
    .update(readFileSync(join(image.folder, 'receipt.json')))
    .digest('hex')
  assert.deepEqual(tagsOf(Images[0]), {
    Name: `mailfleet-${image.digest}`,
    'mailfleet:digest': image.digest,
    'mailfleet:receipt': receipt,
    'mailfleet:commit': 'abc123',
    'mailfleet:lock': 'c'.repeat(64),
  })
  const [snapshot] = await snapshots()
  assert.equal(snapshot?.VolumeSize, 1)
  assert.equal(tagsOf(snapshot)['mailfleet:digest'], image.digest)
  const { images, ...published } = JSON.parse(readFileSync(join(image.folder, 'published.json'), 'utf8')) as {
    images: Record<string, string>[]
  }
  assert.deepEqual(published, { format: 2, digest: image.digest, receipt })
  assert.deepEqual(
    images.map(({ region, snapshotId, imageId }) => ({ region, snapshotId, imageId })),
    [{ region: 'eu-west-1', snapshotId, imageId }],
  )
})

test('published again, it is found: nothing is sent, nothing is made', { skip }, async (t) => {
  const { options, proxy, snapshots } = await publishing(moto, t, madeUpImage('twice'))
  const first = await publishToAws(options)
  const second = await publishToAws(options)
  assert.deepEqual([first.cached, second.cached], [false, true])
  assert.deepEqual([second.imageId, second.snapshotId], [first.imageId, first.snapshotId])
  assert.equal(proxy.count('RegisterImage'), 1)
  assert.equal(proxy.count('StartSnapshot'), 1)
  assert.equal(proxy.count('PutSnapshotBlock'), STORED.length)
  assert.equal((await snapshots()).length, 1)
})

test('stopped in the middle of the upload, it goes on with the same snapshot', { skip }, async (t) => {
  const { options, proxy, said, snapshots } = await publishing(moto, t, madeUpImage('stopped'))
  const stopping = new AbortController()
  let blocks = 0
  proxy.onOperation = (operation) => {
    if (operation === 'PutSnapshotBlock' && ++blocks === 2) stopping.abort(new Error('told to stop'))
  }
  await assert.rejects(publishToAws({ ...options, signal: stopping.signal }), /told to stop/)
  assert.ok(!existsSync(join(options.folder, 'published.json')))
  const [left] = await snapshots()
  assert.equal(left?.State, 'pending')
  const { snapshotId } = await publishToAws(options)
  assert.equal(snapshotId, left?.SnapshotId)
  assert.deepEqual([...proxy.rules.blocks(snapshotId).keys()].sort(), STORED)
  assert.equal((await snapshots()).length, 1)
  assert.ok(said.some((line) => line.includes(`going on with snapshot ${snapshotId}`)))
})

test('stopped between snapshot and image, it registers the snapshot that is there', { skip }, async (t) => {
  const { options, proxy } = await publishing(moto, t, madeUpImage('between'))
  proxy.faults.push({ operation: 'RegisterImage', times: 1, status: 400, code: 'InvalidAMIName.Malformed' })
  await assert.rejects(publishToAws(options), { name: 'InvalidAMIName.Malformed' })
  const puts = proxy.count('PutSnapshotBlock')
  await publishToAws(options)
  assert.equal(proxy.count('PutSnapshotBlock'), puts)
  assert.equal(proxy.count('StartSnapshot'), 1)
})

test('a snapshot of this digest without the disk’s blocks is replaced and deleted', { skip }, async (t) => {
  const image = madeUpImage('hollow')
  const { options, proxy, aws, snapshots } = await publishing(moto, t, image)
  const Tags = [{ Key: 'mailfleet:digest', Value: image.digest }]
  const hollow = await aws.ebs.send(new StartSnapshotCommand({ VolumeSize: 1, Tags }))
  proxy.rules.seal(hollow.SnapshotId!)
  const { snapshotId } = await publishToAws(options)
  assert.notEqual(snapshotId, hollow.SnapshotId)
  assert.deepEqual(
    (await snapshots()).map(({ SnapshotId }) => SnapshotId),
    [snapshotId],
  )
})

test('a snapshot that was completed while this run wrote to it is taken', { skip }, async (t) => {
  const { options, proxy, said } = await publishing(moto, t, madeUpImage('raced'))
  proxy.faults.push({ operation: 'CompleteSnapshot', times: 1, status: 403, code: 'AccessDeniedException' })
  await assert.rejects(publishToAws(options), /does not allow/)
  let id = ''
  proxy.onOperation = (operation) => {
    if (operation === 'CompleteSnapshot') proxy.rules.seal(id)
  }
  id = /snap-\w+/.exec(said.join('\n'))?.[0] ?? ''
  const { snapshotId } = await publishToAws(options)
  assert.equal(snapshotId, id)
  assert.equal(proxy.count('StartSnapshot'), 1)
})

test(
  'read back, a snapshot that is not the disk is an error, and the disk’s is none',
  { skip },
  async (t) => {
    const image = madeUpImage('read back')
    const { options, proxy } = await publishing(moto, t, image)
    const { snapshotId } = await publishToAws({ ...options, verify: 'all' })
    proxy.rules.flip(snapshotId, 4)
    await assert.rejects(publishToAws({ ...options, verify: 'all' }), /is not the disk: block 4 differs/)
  },
)

test(
  'an image is published once it can be launched, not while AWS does not show it yet',
  { skip },
  async (t) => {
    const { options, proxy } = await publishing(moto, t, madeUpImage('available'))
    proxy.onOperation = (operation) => {
      if (operation === 'RegisterImage') proxy.imageStates = ['', 'pending', 'transient']
    }
    await publishToAws(options)
    assert.equal(proxy.count('DescribeImages'), 5)
    proxy.imageStates = ['pending', 'failed']
    await assert.rejects(publishToAws(options), /image ami-\w+ is failed: publish it again/)
  },
)

test('what is there and is not encrypted is no answer to the wish for encryption', { skip }, async (t) => {
  const { options, proxy, aws } = await publishing(moto, t, madeUpImage('encrypted'))
  const { imageId, snapshotId } = await publishToAws(options)
  const own = 'arn:aws:kms:eu-west-1:123456789012:key/own'
  await assert.rejects(publishToAws({ ...options, encrypt: true }), {
    message: new RegExp(`^image ${imageId} .* snapshot ${snapshotId} is not encrypted: deregister it, `),
  })
  await aws.ec2.send(new DeregisterImageCommand({ ImageId: imageId }))
  const encrypted = await publishToAws({ ...options, encrypt: true })
  assert.equal(proxy.keys.get(encrypted.snapshotId), DEFAULT_KEY)
  assert.equal((await publishToAws({ ...options, encrypt: true })).cached, true)
  await assert.rejects(
    publishToAws({ ...options, encrypt: true, kmsKey: own }),
    /is not encrypted with .*key\/own/,
  )
  await aws.ec2.send(new DeregisterImageCommand({ ImageId: encrypted.imageId }))
  const withOwn = await publishToAws({ ...options, encrypt: true, kmsKey: own })
  assert.deepEqual([...proxy.keys].at(-1), [withOwn.snapshotId, own])
})

test('two runs at once share one snapshot and one image', { skip }, async (t) => {
  const { options, proxy, snapshots } = await publishing(moto, t, madeUpImage('at once'))
  // Neither sees what the other begins: both have looked before either makes anything.
  const both = Promise.withResolvers<void>()
  let looks = 0
  proxy.onOperation = (operation) => {
    if (operation !== 'DescribeSnapshots') return
    if (++looks === 2) both.resolve()
    return both.promise
  }
  const [one, other] = await Promise.all([publishToAws(options), publishToAws(options)])
  assert.deepEqual([other.imageId, other.snapshotId], [one.imageId, one.snapshotId])
  assert.equal((await snapshots()).length, 1)
  assert.equal(proxy.registered.length, 1)
})

test('a disk that changes after it was hashed is refused by AWS, block by block', { skip }, async (t) => {
  const image = madeUpImage('changing')
  const { options, proxy } = await publishing(moto, t, image)
  proxy.onOperation = (operation) => {
    if (operation === 'StartSnapshot') writeFileSync(image.disk, Buffer.alloc(image.bytes.length, 9))
  }
  const limits = { ...SHORT_LIMITS, sealedMs: 0 }
  await assert.rejects(publishToAws({ ...options, limits }), {
    name: 'ValidationException',
    message: /checksum/,
  })
  assert.equal(proxy.count('CompleteSnapshot'), 0)
})

const tagsOf = (tagged: { Tags?: Tag[] | undefined } | undefined) =>
  Object.fromEntries((tagged?.Tags ?? []).map(({ Key, Value }) => [Key, Value])) as Record<string, string>
