// Which engine a configuration opens. The embedded engine loads nothing of AWS.
import assert from 'node:assert/strict'
import { registerHooks } from 'node:module'
import { test } from 'node:test'
import { checkConfig } from '../../../server/config/schema.ts'
import { folderFor } from '../../kit/queue/embedded-harness.ts'

const loaded: string[] = []
// Else the SDK would look for them on the network.
Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' })

registerHooks({
  resolve: (specifier, context, nextResolve) => {
    if (specifier.startsWith('@aws-sdk/')) loaded.push(specifier)
    return nextResolve(specifier, context)
  },
})

const configOf = (queue: object, limits: object = {}) =>
  checkConfig('config.json', {
    hostname: 'mx.example.net',
    postmaster: 'ops@mailbox.example',
    listen: { smtp: { port: 0 }, admin: { port: 0 } },
    queue,
    limits,
    aws: { region: 'eu-west-1', endpoints: { sqs: 'http://127.0.0.1:1' } },
    routes: { file: '/routes.yaml' },
    srs: { domain: 'srs.example.com', secrets: ['x'.repeat(32)] },
  })

const url = 'http://127.0.0.1:1/000000000000/ready'
const ON_AWS = { engine: 'aws', readyUrl: url, deferredUrl: url, table: 'table', bucket: 'bucket' }

test('the embedded queue opens without the AWS SDK, the queue on AWS with it', async (t) => {
  const { openQueue } = await import('../../../server/queue/open.ts')
  const embedded = await openQueue(configOf({ path: folderFor(t) }))
  assert.equal(embedded.waits, false)
  await embedded.close()
  assert.equal(loaded.length, 0, loaded.join())

  const errors: string[] = []
  const onAws = await openQueue(configOf(ON_AWS), { onError: (where) => errors.push(where) })
  assert.equal(onAws.waits, true)
  await assert.rejects(onAws.lease(1, 1_000), 'AWS is not there, and the queue is open all the same')
  await onAws.close()
  assert.ok(loaded.includes('@aws-sdk/client-sqs'))
  assert.deepEqual(new Set(errors), new Set(['move']))
})

test('the configuration refuses limits whose largest envelope does not fit the queue on AWS', (t) => {
  assert.equal(configOf(ON_AWS, { destinations: 300 }).limits.destinations, 300)
  assert.equal(configOf({ path: folderFor(t) }, { destinations: 301 }).limits.destinations, 301)
  assert.throws(() => configOf(ON_AWS, { destinations: 301 }), /destinations[^]*at most 300 destinations/)
})
