// Publishing when AWS fails: what is worth another try gets one, what is not ends it with a sentence, and the next run
// finishes what was begun.
import { DeleteSnapshotCommand, DeregisterImageCommand } from '@aws-sdk/client-ec2'
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { connectAws } from '../../../images/publish/aws/clients.ts'
import { publishToAws } from '../../../images/publish/publish.ts'
import { InputError } from '../../../input/problems.ts'
import { startMoto } from '../../kit/aws/moto.ts'
import { SHORT_LIMITS, madeUpImage, STORED } from '../../kit/images/fake-image.ts'
import { publishing } from '../../kit/images/publishing.ts'

const moto = await startMoto()
const { skip } = moto

test('throttled, failing, and not yet known: blocks are sent until they are taken', { skip }, async (t) => {
  const { options, proxy } = await publishing(moto, t, madeUpImage('faults'))
  proxy.faults.push(
    { operation: 'PutSnapshotBlock', times: 5, status: 404, code: 'ResourceNotFoundException' },
    { operation: 'PutSnapshotBlock', times: 5, status: 400, code: 'RequestThrottledException' },
    { operation: 'PutSnapshotBlock', times: 5, status: 500, code: 'InternalServerException' },
    { operation: 'StartSnapshot', times: 2, status: 400, code: 'ThrottlingException' },
    { operation: 'CompleteSnapshot', times: 2, status: 503, code: 'ConcurrentLimitExceededException' },
  )
  const { snapshotId } = await publishToAws(options)
  assert.deepEqual([...proxy.rules.blocks(snapshotId).keys()].sort(), STORED)
  assert.equal(proxy.count('PutSnapshotBlock'), STORED.length + 15)
  assert.equal(proxy.count('StartSnapshot'), 3)
  assert.equal(proxy.count('CompleteSnapshot'), 3)
})

test('on a slow line, where blocks do not arrive whole in time, they are sent again', { skip }, async (t) => {
  const { options, proxy } = await publishing(moto, t, madeUpImage('slow line'))
  const fault = { operation: 'PutSnapshotBlock', times: 3, status: 400, code: 'ValidationException' }
  proxy.faults.push(
    { ...fault, message: 'Failed to read block data', reason: 'INVALID_PARAMETER_VALUE' },
    { ...fault, reason: 'CONFLICTING_BLOCK_UPDATE' },
  )
  const { snapshotId } = await publishToAws(options)
  assert.deepEqual([...proxy.rules.blocks(snapshotId).keys()].sort(), STORED)
  assert.equal(proxy.count('PutSnapshotBlock'), STORED.length + 6)
})

test('a block that is not answered is not waited for for ever', { skip }, async (t) => {
  const { options, proxy } = await publishing(moto, t, madeUpImage('stalls'))
  const never = new Promise<void>(() => {})
  let blocks = 0
  proxy.onOperation = (operation) => (operation === 'PutSnapshotBlock' && ++blocks <= 2 ? never : undefined)
  const aws = await connectAws({ ...moto.client, endpoint: proxy.endpoint }, 2000)
  const { snapshotId } = await publishToAws({ ...options, aws })
  assert.deepEqual([...proxy.rules.blocks(snapshotId).keys()].sort(), STORED)
  assert.ok(blocks >= STORED.length + 2)
})

test('what a snapshot took before a failure is not sent again', { skip }, async (t) => {
  const { options, proxy } = await publishing(moto, t, madeUpImage('recorded'))
  proxy.faults.push({ operation: 'CompleteSnapshot', times: 1, status: 403, code: 'AccessDeniedException' })
  await assert.rejects(publishToAws(options), /does not allow/)
  assert.ok(existsSync(join(options.folder, 'upload.eu-west-1.json')))
  await publishToAws(options)
  assert.equal(proxy.count('PutSnapshotBlock'), STORED.length)
  assert.equal(proxy.count('CompleteSnapshot'), 2)
  assert.ok(!existsSync(join(options.folder, 'upload.eu-west-1.json')))
})

test('the tries are bounded, and the next run goes on', { skip }, async (t) => {
  const { options, proxy } = await publishing(moto, t, madeUpImage('bounded'))
  const outage = { operation: 'PutSnapshotBlock', times: 1e6, status: 500, code: 'InternalServerException' }
  proxy.faults.push(outage)
  await assert.rejects(publishToAws(options), { name: 'InternalServerException' })
  const tries = 1e6 - outage.times
  assert.ok(
    tries >= SHORT_LIMITS.attempts && tries <= STORED.length * SHORT_LIMITS.attempts,
    `${tries} tries`,
  )
  outage.times = 0
  await publishToAws(options)
  assert.equal(proxy.count('StartSnapshot'), 1)
})

test('what AWS does not allow is not tried again, and said in one sentence', { skip }, async (t) => {
  const { options, proxy } = await publishing(moto, t, madeUpImage('denied'))
  for (const [operation, code] of [
    ['DescribeImages', 'UnauthorizedOperation'],
    ['StartSnapshot', 'AccessDeniedException'],
    ['PutSnapshotBlock', 'AccessDeniedException'],
    ['RegisterImage', 'UnauthorizedOperation'],
  ] as const) {
    proxy.faults = [{ operation, times: 1e6, status: 403, code }]
    await assert.rejects(publishToAws(options), (error: Error) => {
      assert.match(
        error.message,
        new RegExp(`^AWS does not allow this .*in ${operation}.* permission, .*\\.$`),
      )
      return true
    })
  }
  assert.equal(proxy.count('StartSnapshot'), 2)
  assert.ok(proxy.count('PutSnapshotBlock') <= 2 * STORED.length)
})

test('a token that has expired, and one that AWS does not know, are bad input', { skip }, async (t) => {
  const { options, proxy } = await publishing(moto, t, madeUpImage('expired'))
  for (const [code, found] of [
    ['RequestExpired', /AWS_PROFILE.*found a token that has expired$/],
    ['ExpiredToken', /AWS_PROFILE.*found a token that has expired$/],
    ['AuthFailure', /AWS_PROFILE.*found what AWS refuses \(AuthFailure\)$/],
  ] as const) {
    proxy.faults = [{ operation: 'DescribeImages', times: 1e6, status: 400, code }]
    await assert.rejects(publishToAws(options), (error: Error) => {
      assert.ok(error instanceof InputError)
      assert.match(error.message, found)
      return true
    })
  }
})

test(
  'a snapshot that was deleted, and that AWS still answers with, is not waited for for ever',
  { skip },
  async (t) => {
    const { options, proxy, aws } = await publishing(moto, t, madeUpImage('forgotten'))
    const { imageId, snapshotId } = await publishToAws(options)
    await aws.ec2.send(new DeregisterImageCommand({ ImageId: imageId }))
    await aws.ec2.send(new DeleteSnapshotCommand({ SnapshotId: snapshotId }))
    const again = await publishToAws({ ...options, limits: { ...SHORT_LIMITS, appearMs: 0 } })
    assert.notEqual(again.snapshotId, snapshotId)
    assert.deepEqual([...proxy.rules.blocks(again.snapshotId).keys()].sort(), STORED)
    assert.equal(proxy.count('StartSnapshot'), 3)
  },
)
