// The mail queue: no resource expires before its mail, is readable to others, or is deleted by default.
/* eslint-disable @typescript-eslint/no-unsafe-member-access -- the comparison checks the inputs' types */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type * as pulumi from '@pulumi/pulumi'
import { runMockedStack, type ResourceInputs } from '../../kit/pulumi/mocked-stack.ts'

const prod = await runMockedStack('prod')
const dev = await runMockedStack('dev')
const QUEUE = 'sqs/queue:Queue'
const queue = (name: string) => prod.one(QUEUE, `mailfleet-prod-${name}`)
const parsed = (value: unknown) => JSON.parse(String(value)) as ResourceInputs

test('there are two standard queues and one queue for the dead letters of both', () => {
  assert.deepEqual(
    prod.all(QUEUE).map(({ name }) => name),
    ['mailfleet-prod-dead-letters', 'mailfleet-prod-ready', 'mailfleet-prod-deferred'],
  )
  for (const inputs of [queue('ready'), queue('deferred')]) {
    assert.ok(!('fifoQueue' in inputs))
    const { deadLetterTargetArn, maxReceiveCount } = parsed(inputs['redrivePolicy'])
    assert.match(String(deadLetterTargetArn), /:mailfleet-prod-dead-letters$/)
    assert.equal(maxReceiveCount, 12)
  }
})

test('all queues have the longest retention of SQS', () => {
  for (const { inputs } of prod.all(QUEUE)) assert.equal(inputs['messageRetentionSeconds'], 14 * 24 * 60 * 60)
})

test('the dead-letter queue accepts messages of these two queues only', () => {
  const { redrivePermission, sourceQueueArns } = parsed(
    prod.one('sqs/redriveAllowPolicy:RedriveAllowPolicy')['redriveAllowPolicy'],
  )
  assert.equal(redrivePermission, 'byQueue')
  assert.deepEqual(
    (sourceQueueArns as string[]).map((arn) => arn.split(':').at(-1)),
    ['mailfleet-prod-ready', 'mailfleet-prod-deferred'],
  )
})

test('queues and bucket are encrypted and refuse calls without TLS', () => {
  for (const { inputs } of prod.all(QUEUE)) assert.equal(inputs['sqsManagedSseEnabled'], true)
  const policies = [...prod.all('sqs/queuePolicy:QueuePolicy'), ...prod.all('s3/bucketPolicy:BucketPolicy')]
  assert.equal(policies.length, 4)
  for (const { inputs } of policies) {
    const [statement] = parsed(inputs['policy'])['Statement'] as ResourceInputs[]
    assert.equal(statement?.['Effect'], 'Deny')
    assert.deepEqual(statement['Condition'], { Bool: { 'aws:SecureTransport': 'false' } })
  }
  const [rule] = prod.one(
    's3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration',
  )['rules'] as ResourceInputs[]
  assert.equal(rule?.['applyServerSideEncryptionByDefault'].sseAlgorithm, 'AES256')
})

test('the bucket is private and unversioned, and only an unprotected stack deletes it with its objects', () => {
  const access = prod.one('s3/bucketPublicAccessBlock:BucketPublicAccessBlock')
  for (const key of ['blockPublicAcls', 'blockPublicPolicy', 'ignorePublicAcls', 'restrictPublicBuckets'])
    assert.equal(access[key], true)
  assert.deepEqual(prod.all('s3/bucketVersioning:BucketVersioning'), [])
  assert.equal(prod.one('s3/bucket:Bucket')['forceDestroy'], false)
  assert.equal(dev.one('s3/bucket:Bucket')['forceDestroy'], true)
})

test('a body outlives every message that can name it, and only bodies expire', () => {
  const rules = prod.one('s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration')[
    'rules'
  ] as ResourceInputs[]
  assert.equal(rules.length, 1)
  assert.deepEqual(rules[0]?.['filter'], { prefix: 'bodies/' })
  const retentionDays = Number(queue('ready')['messageRetentionSeconds']) / 86_400
  assert.ok(rules[0]?.['expiration'].days > retentionDays)
})

test('the table has the server’s keys, a ttl, on-demand billing and point-in-time recovery', () => {
  const table = prod.one('dynamodb/table:Table')
  assert.deepEqual(
    [table['hashKey'], table['rangeKey'], table['billingMode']],
    ['pk', 'sk', 'PAY_PER_REQUEST'],
  )
  assert.deepEqual(table['attributes'], [
    { name: 'pk', type: 'S' },
    { name: 'sk', type: 'S' },
  ])
  assert.deepEqual(table['ttl'], { attributeName: 'ttl', enabled: true })
  assert.deepEqual(table['pointInTimeRecovery'], { enabled: true })
})

test('AWS refuses to delete table and load balancer only with protect', () => {
  for (const [run, kept] of [
    [prod, true],
    [dev, false],
  ] as const) {
    assert.equal(run.one('dynamodb/table:Table')['deletionProtectionEnabled'], kept)
    assert.equal(run.one('lb/loadBalancer:LoadBalancer')['enableDeletionProtection'], kept)
  }
})

test('the routes file becomes the object that the instances read', async () => {
  const { key, source } = prod.one('s3/bucketObjectv2:BucketObjectv2')
  assert.equal(key, 'routes.yaml')
  const { path } = source as pulumi.asset.FileAsset
  assert.match(await path, /\/infra\/aws\/routes\.example\.yaml$/)
})
