// Pruning against moto: deprecated first, deregistered by a later run, and nothing that is used, or not ours, touched.
import {
  CreateTagsCommand,
  DescribeImagesCommand,
  DescribeSnapshotsCommand,
  RegisterImageCommand,
  RunInstancesCommand,
} from '@aws-sdk/client-ec2'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { promoteToChannel } from '../../../../images/publish/channel/promote.ts'
import { pruneImages } from '../../../../images/publish/retention/prune.ts'
import { publishToAws } from '../../../../images/publish/publish.ts'
import { startMoto } from '../../../kit/aws/moto.ts'
import { SHORT_LIMITS, madeUpImage, RECEIPT_KEYS } from '../../../kit/images/fake-image.ts'
import { publishing } from '../../../kit/images/publishing.ts'

const moto = await startMoto()
const { skip } = moto
const DAY = 86_400_000
const LATER = Date.now() + 100 * DAY
/** Each test has a region of its own, since a prune is about all that there is in one. */
const REGIONS = ['eu-west-1', 'eu-west-2', 'eu-west-3', 'eu-north-1', 'eu-central-1'].values()

/** Three images, the first the oldest, the third in channel prod. */
async function pruning(t: TestContext) {
  const { options, clientsOf, proxy, said } = await publishing(moto, t, madeUpImage('unused'))
  const aws = await clientsOf(REGIONS.next().value!)
  const made: { imageId: string; snapshotId: string; folder: string; digest: string }[] = []
  for (const seed of ['first', 'second', 'third']) {
    const { folder, digest } = madeUpImage(`${aws.region} ${seed}`)
    const image = await publishToAws({ ...options, aws, folder })
    proxy.images.get(image.imageId)!.createdAt = `2020-01-0${made.length + 1}T00:00:00.000Z`
    made.push({ ...image, folder, digest })
  }
  const rest = {
    channel: 'prod',
    clientsOf,
    signal: options.signal,
    limits: SHORT_LIMITS,
    receiptKeys: RECEIPT_KEYS,
  }
  await promoteToChannel({ ...rest, ...made[2]! })
  const run = (o: { apply?: boolean; nowMs?: number } = {}) =>
    pruneImages({ ...options, aws, keep: 1, graceMs: 14 * DAY, apply: true, nowMs: LATER, ...o })
  const actions = async (o?: { apply?: boolean; nowMs?: number }) => {
    const pruned = await run(o)
    return made.map(({ imageId }) => pruned.find(({ id }) => id === imageId)?.action ?? 'gone')
  }
  return { aws, proxy, said, made, run, actions, options }
}

test('without --apply nothing changes; with it, what nothing needs is deprecated, and goes by a later run', async (t) => {
  if (skip !== false) return t.skip(skip)
  const { aws, proxy, made, actions } = await pruning(t)
  const expected = ['deprecate', 'deprecate', 'keep']
  for (let run = 0; run < 2; run++) assert.deepEqual(await actions({ apply: false }), expected)
  assert.equal(proxy.count('EnableImageDeprecation'), 0)
  assert.deepEqual(await actions(), expected)
  assert.equal(proxy.count('EnableImageDeprecation'), 2)
  // Within the time of grace.
  assert.deepEqual(await actions({ nowMs: Date.now() + 13 * DAY }), ['keep', 'keep', 'keep'])
  assert.deepEqual(await actions({ apply: false }), ['delete', 'delete', 'keep'])
  assert.equal(proxy.count('DeregisterImage'), 0)
  assert.deepEqual(await actions(), ['delete', 'delete', 'keep'])
  assert.deepEqual(await actions(), ['gone', 'gone', 'keep'])
  const Filters = [{ Name: 'tag-key', Values: ['mailfleet:digest'] }]
  const { Snapshots = [] } = await aws.ec2.send(new DescribeSnapshotsCommand({ Filters }))
  assert.deepEqual(
    Snapshots.map(({ SnapshotId }) => SnapshotId),
    [made[2]!.snapshotId],
  )
})

test('what is referred to stays, and so does what is not ours', { skip }, async (t) => {
  const { aws, proxy, made, actions, run } = await pruning(t)
  const { ImageId } = await aws.ec2.send(new RegisterImageCommand({ Name: 'of somebody else' }))
  const arn = 'arn:aws:ec2:eu-west-2:123456789012:launch-template/lt-1'
  proxy.references.set(made[0]!.imageId, [['ec2:LaunchTemplate', arn]])
  assert.deepEqual(await actions(), ['keep', 'deprecate', 'keep'])
  const pruned = await run()
  const [first] = pruned.filter(({ id }) => id === made[0]!.imageId)
  assert.deepEqual(first?.reasons, [`used by ec2:LaunchTemplate ${arn}`])
  assert.ok(!pruned.some(({ id }) => id === ImageId))
  const { Images = [] } = await aws.ec2.send(new DescribeImagesCommand({ ImageIds: [ImageId!] }))
  assert.equal(Images[0]?.State, 'available')
})

test('where EC2 has no check of references, instances are looked at; where it may not be asked, nothing goes', async (t) => {
  if (skip !== false) return t.skip(skip)
  const { aws, proxy, made, actions, run } = await pruning(t)
  const one = { ImageId: made[0]!.imageId, MinCount: 1, MaxCount: 1 }
  await aws.ec2.send(new RunInstancesCommand(one))
  const fault = { operation: 'DescribeImageReferences', status: 400, times: 1 }
  proxy.faults.push({ ...fault, code: 'InvalidAction' })
  assert.deepEqual(await actions(), ['keep', 'deprecate', 'keep'])
  proxy.faults.push({ ...fault, code: 'UnauthorizedOperation', status: 403 })
  await assert.rejects(run(), /AWS does not allow this/)
  assert.equal(proxy.count('DeregisterImage'), 0)
})

test('an orphan goes after a day, and a prune that was stopped half-way is finished by the next', async (t) => {
  if (skip !== false) return t.skip(skip)
  const { proxy, made, actions, run } = await pruning(t)
  await actions()
  proxy.faults.push({ operation: 'DeleteSnapshot', times: 1, status: 403, code: 'UnauthorizedOperation' })
  const pruned = await run()
  const [failed, ...others] = pruned.filter(({ problem }) => problem !== undefined)
  assert.match(failed?.problem ?? '', /AWS does not allow this/)
  assert.deepEqual(others, [])
  const left = made.find(({ imageId }) => imageId === failed?.id)!.snapshotId
  const again = await run()
  assert.deepEqual(
    again.filter(({ kind }) => kind === 'snapshot').map(({ id, action, done }) => [id, action, done]),
    [[left, 'delete', true]],
  )
  assert.ok(!(await run()).some(({ kind }) => kind === 'snapshot'))
})

test('a snapshot of ours that another image stands on is left', { skip }, async (t) => {
  const { aws, proxy, made, run, said } = await pruning(t)
  const { snapshotId, imageId } = made[0]!
  const mapping = { DeviceName: '/dev/xvda', Ebs: { SnapshotId: snapshotId } }
  const request = { Name: 'made by hand', BlockDeviceMappings: [mapping], Architecture: 'x86_64' as const }
  const { ImageId } = await aws.ec2.send(new RegisterImageCommand(request))
  await run()
  await run()
  assert.ok(!proxy.images.has(imageId))
  assert.ok(said.some((line) => line === `left snapshot ${snapshotId}, which an image uses`))
  assert.ok(proxy.images.has(ImageId!))
  const Tags = [{ Key: 'Name', Value: 'still there' }]
  await aws.ec2.send(new CreateTagsCommand({ Resources: [snapshotId], Tags }))
})
