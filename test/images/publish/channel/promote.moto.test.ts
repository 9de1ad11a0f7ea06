// Promoting: a channel's parameter, what it becomes and what it was, and which images it never becomes.
import { CreateTagsCommand, DeleteTagsCommand, DeregisterImageCommand } from '@aws-sdk/client-ec2'
import { GetParameterCommand } from '@aws-sdk/client-ssm'
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promoteToChannel } from '../../../../images/publish/channel/promote.ts'
import { publishToAws } from '../../../../images/publish/publish.ts'
import { recordPublished } from '../../../../images/publish/published.ts'
import { InputError } from '../../../../input/problems.ts'
import { startMoto } from '../../../kit/aws/moto.ts'
import { SHORT_LIMITS, madeUpImage, RECEIPT_KEYS } from '../../../kit/images/fake-image.ts'
import { publishing } from '../../../kit/images/publishing.ts'

const moto = await startMoto()
const { skip } = moto

test('the parameter becomes the AMI, with the type that launch templates resolve, and the old one is told', async (t) => {
  if (skip !== false) return t.skip(skip)
  const before = await publishing(moto, t, madeUpImage('before'))
  const after = await publishing(moto, t, madeUpImage('after'))
  const images = [await publishToAws(before.options), await publishToAws(after.options)] as const
  const { aws } = after
  const rest = {
    channel: 'prod',
    receiptKeys: RECEIPT_KEYS,
    limits: SHORT_LIMITS,
    signal: after.options.signal,
    clientsOf: after.clientsOf,
  }
  const toFirst = {
    ...rest,
    clientsOf: before.clientsOf,
    folder: before.options.folder,
    digest: images[0].digest,
  }
  const toSecond = { ...rest, folder: after.options.folder, digest: images[1].digest }
  const told = { parameter: '/mailfleet/prod/image', region: 'eu-west-1' }
  const [first, second] = [images[0].imageId, images[1].imageId]
  assert.deepEqual(await promoteToChannel(toFirst), [{ ...told, from: null, to: first }])
  assert.deepEqual(await promoteToChannel(toSecond), [{ ...told, from: first, to: second }])
  assert.deepEqual(await promoteToChannel(toSecond), [{ ...told, from: second, to: second }])
  const { Parameter } = await aws.ssm.send(new GetParameterCommand({ Name: '/mailfleet/prod/image' }))
  const { Value, Type, DataType, Version } = Parameter!
  assert.deepEqual([Value, Type, DataType, Version], [second, 'String', 'aws:ec2:image', 2])
})

test('an image that was not published, or not to this region, is refused', { skip }, async (t) => {
  const image = madeUpImage('unpublished')
  const { clientsOf, options, proxy } = await publishing(moto, t, image)
  const wish = { ...options, digest: image.digest, channel: 'never', clientsOf }
  await assert.rejects(promoteToChannel(wish), (error: Error) => {
    assert.ok(error instanceof InputError)
    assert.match(
      error.message,
      /an image in a region; publish it: npx mailfleet image publish.*found nothing/,
    )
    return true
  })
  const elsewhere = { region: 'us-east-1', snapshotId: 'snap-1', imageId: 'ami-1' }
  recordPublished(image.folder, {
    digest: image.digest,
    receipt: 'd'.repeat(64),
    image: { ...elsewhere, verified: 'all', publishedAt: new Date().toISOString() },
  })
  await assert.rejects(
    promoteToChannel({ ...wish, regions: ['eu-west-1'] }),
    /an image in eu-west-1.*found us-east-1/,
  )
  assert.deepEqual(proxy.operations, [])
})

test(
  'an edited receipt stops a promotion, and so does an AMI without a receipt’s tag',
  { skip },
  async (t) => {
    const image = madeUpImage('unproven')
    const { aws, clientsOf, options, proxy } = await publishing(moto, t, image)
    const { imageId } = await publishToAws(options)
    const wish = { ...options, digest: image.digest, channel: 'never', clientsOf }
    await assert.rejects(promoteToChannel({ ...wish, receiptKeys: [] }), /a key to check it with/)
    const file = join(image.folder, 'receipt.json')
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replace('"messages": 204', '"messages": 205'))
    await assert.rejects(promoteToChannel(wish), /receipt\.dsse\.json: .*npx mailfleet image test/s)
    writeFileSync(file, text)
    await aws.ec2.send(new DeleteTagsCommand({ Resources: [imageId], Tags: [{ Key: 'mailfleet:receipt' }] }))
    await assert.rejects(promoteToChannel(wish), /has no tag mailfleet:receipt/)
    assert.equal(proxy.count('PutParameter'), 0)
  },
)

test('an AMI that is of another digest, or is gone, is never put into the parameter', { skip }, async (t) => {
  const image = madeUpImage('tampered')
  const { aws, clientsOf, options, proxy } = await publishing(moto, t, image)
  const { imageId } = await publishToAws(options)
  const wish = { ...options, digest: image.digest, channel: 'never', clientsOf }
  const Tags = [{ Key: 'mailfleet:digest', Value: 'e'.repeat(64) }]
  await aws.ec2.send(new CreateTagsCommand({ Resources: [imageId], Tags }))
  await assert.rejects(promoteToChannel(wish), /is tagged with digest e{64}, not /)
  await aws.ec2.send(new DeregisterImageCommand({ ImageId: imageId }))
  await assert.rejects(promoteToChannel(wish), /no image ami-\w+ in this region|is deregistered/)
  assert.equal(proxy.count('PutParameter'), 0)
})
