// Publishing to many regions: one upload, copies of it that are tagged, compared and shared like it, and a region that
// fails is named while the others go on.
import {
  CopySnapshotCommand,
  DescribeImageAttributeCommand,
  DescribeImagesCommand,
  DescribeSnapshotAttributeCommand,
  DescribeSnapshotsCommand,
} from '@aws-sdk/client-ec2'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { publishToAws } from '../../../../images/publish/publish.ts'
import { tagOf } from '../../../../images/publish/snapshot/snapshots.ts'
import { InputError } from '../../../../input/problems.ts'
import { startMoto } from '../../../kit/aws/moto.ts'
import { madeUpImage, STORED } from '../../../kit/images/fake-image.ts'
import { publishing } from '../../../kit/images/publishing.ts'

const moto = await startMoto()
const { skip } = moto
const ACCOUNTS = ['111122223333', '444455556666']
const ELSEWHERE = ['us-east-1', 'ap-south-1']

test('one upload, a copy a region, all tagged, compared and shared', { skip }, async (t) => {
  const image = madeUpImage('copied')
  const { options, proxy, clientsOf } = await publishing(moto, t, image)
  const copyTo = await Promise.all(ELSEWHERE.map(clientsOf))
  const result = await publishToAws({ ...options, copyTo, share: ACCOUNTS })
  assert.deepEqual(result.failed, [])
  assert.equal(proxy.count('PutSnapshotBlock'), STORED.length)
  const all = [result, ...result.copies]
  assert.deepEqual(
    all.map(({ region }) => region),
    ['eu-west-1', ...ELSEWHERE],
  )
  for (const { region, imageId, snapshotId } of all) {
    const { ec2 } = await clientsOf(region)
    const { Images: [made] = [] } = await ec2.send(new DescribeImagesCommand({ ImageIds: [imageId] }))
    const { Snapshots: [snapshot] = [] } = await ec2.send(
      new DescribeSnapshotsCommand({ SnapshotIds: [snapshotId] }),
    )
    for (const tagged of [made, snapshot]) {
      assert.equal(tagOf(tagged!, 'mailfleet:digest'), image.digest, region)
      assert.equal(tagOf(tagged!, 'mailfleet:commit'), 'abc123', region)
    }
    const launch = { ImageId: imageId, Attribute: 'launchPermission' as const }
    const { LaunchPermissions = [] } = await ec2.send(new DescribeImageAttributeCommand(launch))
    const create = { SnapshotId: snapshotId, Attribute: 'createVolumePermission' as const }
    const { CreateVolumePermissions = [] } = await ec2.send(new DescribeSnapshotAttributeCommand(create))
    for (const permissions of [LaunchPermissions, CreateVolumePermissions])
      assert.deepEqual(permissions.map(({ UserId }) => UserId).sort(), ACCOUNTS, region)
  }
  // A sample of so few blocks is all of them.
  assert.equal(proxy.count('GetSnapshotBlock'), all.length * STORED.length)
  const again = await publishToAws({ ...options, copyTo, share: ACCOUNTS })
  assert.ok([again, ...again.copies].every(({ cached }) => cached))
  assert.equal(proxy.count('CopySnapshot'), ELSEWHERE.length)
})

test(
  'a region that fails is named, the others are done, and the next run finishes it',
  { skip },
  async (t) => {
    const image = madeUpImage('one fails')
    const { options, proxy, clientsOf } = await publishing(moto, t, image)
    const copyTo = await Promise.all(ELSEWHERE.map(clientsOf))
    const fault = { operation: 'CopySnapshot', status: 403, code: 'UnauthorizedOperation' }
    proxy.faults.push({ ...fault, times: 1, region: 'us-east-1' })
    const first = await publishToAws({ ...options, copyTo })
    assert.deepEqual(
      first.copies.map(({ region }) => region),
      ['ap-south-1'],
    )
    assert.deepEqual(
      first.failed.map(({ region }) => region),
      ['us-east-1'],
    )
    assert.match(first.failed[0]!.problem, /^AWS does not allow this /)
    const { images } = JSON.parse(readFileSync(join(image.folder, 'published.json'), 'utf8')) as {
      images: { region: string; verified: string }[]
    }
    assert.deepEqual(
      images.map(({ region, verified }) => `${region} ${verified}`),
      ['ap-south-1 sample', 'eu-west-1 sample'],
    )
    const second = await publishToAws({ ...options, copyTo })
    assert.deepEqual(second.failed, [])
    assert.equal(proxy.count('PutSnapshotBlock'), STORED.length)
    assert.equal(proxy.count('RegisterImage'), 3)
  },
)

test(
  'a copy that an earlier run began is waited for; one that is not the disk is replaced',
  { skip },
  async (t) => {
    const image = madeUpImage('begun')
    const { options, proxy, clientsOf } = await publishing(moto, t, image)
    const there = await clientsOf('us-east-1')
    const source = await publishToAws(options)
    const Tags = [
      { Key: 'mailfleet:digest', Value: image.digest },
      { Key: 'mailfleet:source', Value: `eu-west-1/${source.snapshotId}` },
    ]
    const begin = async () => {
      const from = { SourceRegion: 'eu-west-1', SourceSnapshotId: source.snapshotId }
      const request = { ...from, TagSpecifications: [{ ResourceType: 'snapshot' as const, Tags }] }
      return (await there.ec2.send(new CopySnapshotCommand(request))).SnapshotId!
    }
    const spoilt = await begin()
    proxy.rules.flip(spoilt, 0)
    const good = await begin()
    const { copies } = await publishToAws({ ...options, copyTo: [there] })
    assert.deepEqual(
      copies.map(({ snapshotId }) => snapshotId),
      [good],
    )
    assert.equal(proxy.count('CopySnapshot'), 2)
    const Filters = [{ Name: 'tag:mailfleet:digest', Values: [image.digest] }]
    const { Snapshots = [] } = await there.ec2.send(new DescribeSnapshotsCommand({ Filters }))
    assert.deepEqual(
      Snapshots.map(({ SnapshotId }) => SnapshotId),
      [good],
    )
  },
)

test('with twenty copies under way in a region, one waits for its turn', { skip }, async (t) => {
  const { options, proxy, clientsOf, said } = await publishing(moto, t, madeUpImage('twenty'))
  proxy.faults.push({ operation: 'CopySnapshot', times: 2, status: 400, code: 'ResourceLimitExceeded' })
  const { copies } = await publishToAws({ ...options, copyTo: [await clientsOf('us-east-1')] })
  assert.equal(copies.length, 1)
  assert.match(said.join('\n'), /us-east-1 takes no more copies at the moment/)
})

test('what AWS would refuse in the end is refused before anything is begun', { skip }, async (t) => {
  const { options, proxy, clientsOf } = await publishing(moto, t, madeUpImage('refused'))
  const copyTo = [await clientsOf('us-east-1')]
  const kmsKey = 'arn:aws:kms:eu-west-1:123456789012:key/only-here'
  for (const [wish, message] of [
    [{ share: ['1234'] }, /--share: expected accounts of twelve digits/],
    [{ share: ACCOUNTS, encrypt: true }, /--share: expected a key of your own/],
    [{ copyTo, encrypt: true, kmsKey }, /--kms-key: expected a multi-Region key/],
  ] as const) {
    const wished = { ...options, ...wish, share: [...('share' in wish ? wish.share : [])] }
    await assert.rejects(publishToAws(wished), (error: Error) => {
      assert.ok(error instanceof InputError)
      assert.match(error.message, message)
      return true
    })
  }
  assert.deepEqual(proxy.operations, [])
})

test('a multi-Region key encrypts each copy with its twin there', { skip }, async (t) => {
  const { options, proxy, clientsOf } = await publishing(moto, t, madeUpImage('twin'))
  const key = (region: string) => `arn:aws:kms:${region}:123456789012:key/mrk-1234`
  const copyTo = [await clientsOf('us-east-1')]
  const { snapshotId, copies, failed } = await publishToAws({
    ...options,
    copyTo,
    encrypt: true,
    kmsKey: key('eu-west-1'),
  })
  assert.deepEqual(failed, [])
  assert.equal(proxy.keys.get(snapshotId), key('eu-west-1'))
  assert.equal(proxy.keys.get(copies[0]!.snapshotId), key('us-east-1'))
})
