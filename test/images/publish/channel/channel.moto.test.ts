// Moving a channel in many regions: all or none, only after its time in another channel, and back again.
import { DeregisterImageCommand } from '@aws-sdk/client-ec2'
import { PutParameterCommand } from '@aws-sdk/client-ssm'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { channelHistory, readChannel } from '../../../../images/publish/channel/channel.ts'
import { promoteToChannel } from '../../../../images/publish/channel/promote.ts'
import { publishToAws } from '../../../../images/publish/publish.ts'
import { recordPublished } from '../../../../images/publish/published.ts'
import { revertChannel } from '../../../../images/publish/channel/revert.ts'
import { startMoto } from '../../../kit/aws/moto.ts'
import { SHORT_LIMITS, madeUpImage, RECEIPT_KEYS } from '../../../kit/images/fake-image.ts'
import { publishing } from '../../../kit/images/publishing.ts'

const moto = await startMoto()
const { skip } = moto
/** In the order in which they are moved. */
const REGIONS = ['ap-south-1', 'eu-west-1', 'us-east-1'] as const

/** Images in three regions; `id` is an image's AMI in a region. */
async function published(t: TestContext, channel: string, ...seeds: string[]) {
  const { options, aws, clientsOf, proxy } = await publishing(moto, t, madeUpImage(seeds[0]!))
  const copyTo = await Promise.all(['us-east-1', 'ap-south-1'].map(clientsOf))
  const images = []
  for (const seed of seeds) {
    const { folder, digest } = madeUpImage(`${channel} ${seed}`)
    const made = await publishToAws({ ...options, folder, copyTo })
    const ids = Object.fromEntries([made, ...made.copies].map(({ region, imageId }) => [region, imageId]))
    images.push({ folder, digest, ids })
  }
  const rest = { channel, clientsOf, signal: options.signal, limits: SHORT_LIMITS, receiptKeys: RECEIPT_KEYS }
  const now = async (name = channel) =>
    Promise.all(
      REGIONS.map(async (region) => readChannel({ ssm: (await clientsOf(region)).ssm, channel: name })),
    )
  const at = ({ ids }: { ids: Record<string, string> }) => REGIONS.map((region) => ids[region]!)
  return { images, rest, aws, proxy, clientsOf, now, at }
}

test(
  'a promotion that one region refuses leaves the channel as it was in all of them',
  { skip },
  async (t) => {
    const { images, rest, proxy, now, at } = await published(t, 'refuses', 'old', 'new')
    const [before, after] = [images[0]!, images[1]!]
    await promoteToChannel({ ...rest, ...before })
    const fault = { operation: 'PutParameter', status: 400, code: 'AccessDeniedException' }
    proxy.faults.push({ ...fault, times: 1, region: 'us-east-1' })
    await assert.rejects(promoteToChannel({ ...rest, ...after }), {
      message:
        /^\/mailfleet\/refuses\/image was not moved, for us-east-1: AWS does not allow .*; the channel stands where it stood, in every region$/,
    })
    assert.deepEqual(await now(), at(before))
    const moves = await promoteToChannel({ ...rest, ...after })
    assert.deepEqual(
      moves.map(({ from, to }) => [from, to]),
      at(before).map((from, i) => [from, at(after)[i]]),
    )
    assert.deepEqual(await now(), at(after))
  },
)

test('where a region cannot be moved back either, it is named with what to do', { skip }, async (t) => {
  const { images, rest, proxy, now, at } = await published(t, 'stuck', 'old', 'new')
  const [before, after] = [images[0]!, images[1]!]
  await promoteToChannel({ ...rest, ...before })
  let puts = 0
  proxy.onOperation = (operation) => {
    if (operation !== 'PutParameter' || ++puts !== 2) return
    // The second region refuses, and after it everything does.
    proxy.faults.push({ operation: 'PutParameter', times: 1e6, status: 400, code: 'AccessDeniedException' })
  }
  await assert.rejects(promoteToChannel({ ...rest, ...after }), {
    message:
      /eu-west-1: .*; ap-south-1 \(ami-\w+ → ami-\w+\) could not be moved back: run this again to finish/,
  })
  proxy.faults = []
  assert.deepEqual(await now(), [at(after)[0], at(before)[1], at(before)[2]])
  const moves = await promoteToChannel({ ...rest, ...after })
  assert.deepEqual(
    moves.map(({ from, to }) => from === to),
    [true, false, false],
  )
  assert.deepEqual(await now(), at(after))
})

test('a new channel that fails half-way is gone again', { skip }, async (t) => {
  const { images, rest, proxy, now } = await published(t, 'fresh', 'only')
  const fault = { operation: 'PutParameter', status: 400, code: 'AccessDeniedException' }
  proxy.faults.push({ ...fault, times: 1, region: 'us-east-1' })
  await assert.rejects(promoteToChannel({ ...rest, ...images[0]! }), /stands where it stood/)
  assert.deepEqual(await now(), [null, null, null])
})

test('told to stop between two regions, it goes back', { skip }, async (t) => {
  const { images, rest, proxy, now, at } = await published(t, 'stopped', 'old', 'new')
  await promoteToChannel({ ...rest, ...images[0]! })
  const stopping = new AbortController()
  proxy.onOperation = (operation) => {
    if (operation === 'PutParameter') stopping.abort(new Error('told to stop'))
  }
  await assert.rejects(promoteToChannel({ ...rest, ...images[1]!, signal: stopping.signal }), {
    message: /the channel stands where it stood, in every region$/,
  })
  assert.deepEqual(await now(), at(images[0]!))
})

test(
  'nothing moves while one region has no such image, or one that was not compared',
  { skip },
  async (t) => {
    const { images, rest, clientsOf, proxy, now } = await published(t, 'missing', 'only')
    const image = images[0]!
    const { ec2 } = await clientsOf('us-east-1')
    await ec2.send(new DeregisterImageCommand({ ImageId: image.ids['us-east-1']! }))
    await assert.rejects(promoteToChannel({ ...rest, ...image }), {
      message:
        /^not promoted to missing, in any region:\nus-east-1: (this account has no image|image ami-\w+ is dereg)/,
    })
    const entry = { region: 'us-east-1', snapshotId: 'snap-1', imageId: 'ami-1', verified: 'none' as const }
    recordPublished(image.folder, {
      digest: image.digest,
      receipt: 'd'.repeat(64),
      image: { ...entry, publishedAt: new Date().toISOString() },
    })
    await assert.rejects(
      promoteToChannel({ ...rest, ...image }),
      /verified: expected all or sample.*found none, in us-east/,
    )
    assert.equal(proxy.count('PutParameter'), 0)
    assert.deepEqual(await now(), [null, null, null])
    // The regions that have it can be named.
    await promoteToChannel({ ...rest, ...image, regions: ['ap-south-1'] })
    assert.deepEqual(await now(), [image.ids['ap-south-1'], null, null])
  },
)

test('soak: only what was another channel’s for so long, in every region', { skip }, async (t) => {
  const { images, rest, now, at } = await published(t, 'soaked', 'new')
  const image = images[0]!
  const soak = { after: 'soak-candidate', soakMs: 3_600_000 }
  await assert.rejects(promoteToChannel({ ...rest, ...image, soak }), {
    message:
      /in any region:\nap-south-1: image ami-\w+ was not in channel soak-candidate, and is to be there for 1\.0 hours/,
  })
  await promoteToChannel({ ...rest, ...image, channel: 'soak-candidate' })
  await assert.rejects(
    promoteToChannel({ ...rest, ...image, soak }),
    /was for \d+ seconds in channel soak-candidate/,
  )
  assert.deepEqual(await now(), [null, null, null])
  await promoteToChannel({ ...rest, ...image, soak: { ...soak, soakMs: 1 } })
  assert.deepEqual(await now(), at(image))
})

test('a revert goes to the good image before, in all regions, and never to one that was taken back', async (t) => {
  if (skip !== false) return t.skip(skip)
  const { images, rest, aws, now, at } = await published(t, 'reverted', 'one', 'two', 'three')
  const [one, two, three] = [images[0]!, images[1]!, images[2]!]
  for (const image of images) await promoteToChannel({ ...rest, ...image })
  await revertChannel({ ...rest, aws })
  assert.deepEqual(await now(), at(two))
  await revertChannel({ ...rest, aws })
  assert.deepEqual(await now(), at(one))
  await assert.rejects(revertChannel({ ...rest, aws }), /channel reverted in ap-south-1 has no earlier image/)
  // By hand, to any that the channel knows: an AMI of one region is its twins in the others.
  await revertChannel({ ...rest, aws, to: three.ids['us-east-1']! })
  assert.deepEqual(await now(), at(three))
  await revertChannel({ ...rest, aws, to: two.digest.slice(0, 12) })
  assert.deepEqual(await now(), at(two))
  await assert.rejects(revertChannel({ ...rest, aws, to: 'ami-1234' }), /was never at ami-1234, but at ami-/)
  const history = await channelHistory({ ...rest, ssm: aws.ssm })
  assert.deepEqual(
    history.map(({ note }) => note?.by),
    ['promote', 'promote', 'promote', 'revert', 'revert', 'revert', 'revert'],
  )
})

test('a revert to an image that is gone leaves the channel', { skip }, async (t) => {
  const { images, rest, aws, now, at, clientsOf } = await published(t, 'gone', 'one', 'two')
  for (const image of images) await promoteToChannel({ ...rest, ...image })
  const { ec2 } = await clientsOf('ap-south-1')
  await ec2.send(new DeregisterImageCommand({ ImageId: images[0]!.ids['ap-south-1']! }))
  await assert.rejects(revertChannel({ ...rest, aws }), /no image ami-\w+ in this region|is deregistered/)
  assert.deepEqual(await now(), at(images[1]!))
})

test('versions that were written by hand are history as well', { skip }, async (t) => {
  const { images, rest, aws, now } = await published(t, 'by-hand', 'one', 'two')
  const [one, two] = [images[0]!, images[1]!]
  const Name = '/mailfleet/by-hand/image'
  const byHand = { Name, Value: one.ids['eu-west-1']!, Type: 'String' as const, Description: 'a note' }
  await aws.ssm.send(new PutParameterCommand(byHand))
  await promoteToChannel({ ...rest, ...two, regions: ['eu-west-1'] })
  await revertChannel({ ...rest, aws })
  assert.deepEqual(await now(), [null, one.ids['eu-west-1'], null])
})
