// Every request to the metadata service has a token, and a request after a failure works.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetadata } from '../../../server/fleet/metadata.ts'
import { startMetadata } from '../../kit/aws/metadata.ts'

test('one token serves many requests, and a missing path is null', async (context) => {
  const fake = await startMetadata({ userData: '{}' })
  context.after(fake.close)
  const metadata = createMetadata(fake.url)
  assert.equal(await metadata.get('user-data'), '{}')
  assert.equal(await metadata.get('meta-data/placement/region'), 'eu-west-1')
  assert.equal(await metadata.get('meta-data/spot/instance-action'), null)
  assert.deepEqual(fake.asked, [
    'PUT /latest/api/token',
    'GET /latest/user-data',
    'GET /latest/meta-data/placement/region',
    'GET /latest/meta-data/spot/instance-action',
  ])
})

test('an invalid token is replaced', async (context) => {
  const fake = await startMetadata()
  context.after(fake.close)
  const metadata = createMetadata(fake.url)
  assert.equal(await metadata.get('meta-data/instance-id'), 'i-0123456789abcdef0')
  fake.forgetTokens()
  assert.equal(await metadata.get('meta-data/instance-id'), 'i-0123456789abcdef0')
  assert.equal(fake.asked.filter((line) => line.startsWith('PUT')).length, 2)
})

test('a service that is down, throttled or silent gives an error, and works again afterwards', async (context) => {
  const fake = await startMetadata()
  context.after(fake.close)
  const metadata = createMetadata(fake.url)
  fake.state.trouble = 'down'
  await assert.rejects(metadata.get('user-data'), /metadata service does not answer/)
  fake.state.trouble = 'throttled'
  await assert.rejects(metadata.get('user-data'), /gives no token \(HTTP 503\)/)
  fake.state.trouble = null
  fake.state.delayMs = 60_000
  await assert.rejects(metadata.get('user-data'), /no answer within 2000 ms/)
  assert.deepEqual(
    fake.asked.filter((line) => !line.startsWith('PUT')),
    [],
  )
  fake.state.delayMs = 0
  assert.equal(await metadata.get('meta-data/instance-id'), 'i-0123456789abcdef0')
})

test('an endless answer is cut off', async (context) => {
  const fake = await startMetadata({ userData: 'x'.repeat(100_000) })
  context.after(fake.close)
  await assert.rejects(createMetadata(fake.url).get('user-data'), /more than 65536 bytes/)
})
