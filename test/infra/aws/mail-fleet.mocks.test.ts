// The launch template and the Auto Scaling group: one test for each setting whose default would hurt this fleet.
/* eslint-disable @typescript-eslint/no-unsafe-member-access -- the comparison checks the inputs' types */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { instanceConfig, userData } from '../../../infra/aws/instance-config.ts'
import { readStackConfig } from '../../../infra/stack-config.ts'
import { checkConfig } from '../../../server/config/schema.ts'
import { DIGEST, IMAGE_ID } from '../../kit/aws/fake-aws.ts'
import { exampleConfig, PROJECT_FOLDER } from '../../kit/pulumi/example-stack.ts'
import { runMockedStack, type ResourceInputs } from '../../kit/pulumi/mocked-stack.ts'

const dev = await runMockedStack('dev')
const prod = await runMockedStack('prod')
const GROUP = 'autoscaling/group:Group'
const TEMPLATE = 'ec2/launchTemplate:LaunchTemplate'
const HOOK = 'autoscaling/lifecycleHook:LifecycleHook'

function decoded(run: typeof dev): ResourceInputs {
  const text = String(run.one(TEMPLATE)['userData'])
  return JSON.parse(Buffer.from(text, 'base64').toString()) as ResourceInputs
}

test('a deploy does not reset the desired capacity', () => {
  for (const run of [dev, prod]) assert.ok(!('desiredCapacity' in run.one(GROUP)))
  const { minSize, maxSize } = prod.one(GROUP)
  assert.deepEqual([minSize, maxSize], [2, 20])
})

test('template and group name a literal image and a numbered version, so a rollout can be rolled back', () => {
  assert.equal(prod.one(TEMPLATE)['imageId'], IMAGE_ID)
  const { launchTemplate } = prod.one(GROUP)['mixedInstancesPolicy'] as ResourceInputs
  assert.equal((launchTemplate as ResourceInputs)['launchTemplateSpecification'].version, '7')
  const text = JSON.stringify(prod.resources)
  assert.doesNotMatch(text, /\$Latest|\$Default|resolve:ssm/)
})

test('an alarm of this stack rolls back a rollout, which skips instances that already run the new template', () => {
  const { strategy, preferences } = prod.one(GROUP)['instanceRefresh'] as ResourceInputs
  assert.equal(strategy, 'Rolling')
  assert.equal(preferences.autoRollback, true)
  assert.equal(preferences.skipMatching, true)
  const alarms = prod.all('cloudwatch/metricAlarm:MetricAlarm').map(({ name }) => name)
  const named = preferences.alarmSpecification.alarms as string[]
  assert.ok(named.length > 0)
  for (const name of named) assert.ok(alarms.includes(name), name)
})

test('a rollout ends an instance only after its replacement is in service', () => {
  const group = prod.one(GROUP)
  for (const bounds of [
    group['instanceRefresh'].preferences,
    group['instanceMaintenancePolicy'],
  ] as ResourceInputs[]) {
    assert.equal(bounds['minHealthyPercentage'], 100)
    const spread = bounds['maxHealthyPercentage'] - bounds['minHealthyPercentage']
    assert.ok(spread > 0 && spread <= 100, `${spread} %`)
  }
})

test('a rollout waits until the load balancer can have registered the new instance', async () => {
  const warmup = ({ one }: typeof prod) => Number(one(GROUP)['instanceRefresh'].preferences.instanceWarmup)
  // 300 s of registration, then two health checks of 10 s.
  assert.ok(warmup(prod) >= 320)
  const slow = { minInstances: 1, maxInstances: 3, warmupMs: 400_000 }
  assert.equal(warmup(await runMockedStack('dev', { config: { 'mailfleet:policy': slow } })), 400)
})

test('the launch hook exists before the first instance and abandons incomplete launches', () => {
  const initial = (prod.one(GROUP)['initialLifecycleHooks'] as ResourceInputs[]).find(
    (hook) => hook['name'] === 'launch',
  )
  assert.equal(initial?.['lifecycleTransition'], 'autoscaling:EC2_INSTANCE_LAUNCHING')
  assert.equal(initial?.['defaultResult'], 'ABANDON')
})

test('the hooks are resources too, so later changes apply', () => {
  const initial = prod.one(GROUP)['initialLifecycleHooks'] as ResourceInputs[]
  const resources = prod.all(HOOK).map(({ inputs: { autoscalingGroupName, ...hook } }) => {
    assert.equal(autoscalingGroupName, 'mailfleet-prod')
    return hook
  })
  assert.deepEqual(resources, initial)
})

test('the terminate hook outlasts the drain and then lets the termination continue', () => {
  const hook = prod.one(HOOK, 'mailfleet-prod-terminate')
  assert.equal(hook['lifecycleTransition'], 'autoscaling:EC2_INSTANCE_TERMINATING')
  assert.equal(hook['defaultResult'], 'CONTINUE')
  const { drain, fleet } = decoded(prod)
  assert.ok(hook['heartbeatTimeout'] * 1000 > drain.timeoutMs)
  // AWS deregisters first: the delay is one drain, and for 300 s the load balancer still sends connections.
  assert.ok(fleet.terminateWaitMs >= drain.timeoutMs + 300_000)
})

test('the hooks have the names in the instances’ configuration', () => {
  const names = prod.all(HOOK).map(({ inputs }) => String(inputs['name']))
  const { launchHook, terminateHook, name } = decoded(prod)['fleet'] as ResourceInputs
  assert.deepEqual(names, [launchHook, terminateHook])
  assert.equal(name, prod.one(GROUP)['name'])
})

test('unready targets replace no instance: the group uses EC2’s health checks alone', () => {
  assert.equal(prod.one(GROUP)['healthCheckType'], 'EC2')
})

test('the metadata service requires a token and answers only the instance itself', () => {
  assert.deepEqual(prod.one(TEMPLATE)['metadataOptions'], {
    httpEndpoint: 'enabled',
    httpTokens: 'required',
    httpPutResponseHopLimit: 1,
  })
})

test('an instance has one encrypted disk, no key pair and no public address', () => {
  const template = prod.one(TEMPLATE)
  assert.deepEqual(template['blockDeviceMappings'], [
    { deviceName: '/dev/xvda', ebs: { encrypted: 'true', volumeType: 'gp3', deleteOnTermination: 'true' } },
  ])
  assert.ok(!('keyName' in template))
  assert.equal(template['networkInterfaces'][0].associatePublicIpAddress, 'false')
})

test('the group uses no launch configuration, which new accounts cannot create', () => {
  assert.deepEqual(prod.all('ec2/launchConfiguration:LaunchConfiguration'), [])
  assert.ok(!('launchConfiguration' in prod.one(GROUP)))
})

test('instances and volumes have the tag with the image’s digest', () => {
  const specifications = prod.one(TEMPLATE)['tagSpecifications'] as ResourceInputs[]
  assert.deepEqual(
    specifications.map(({ resourceType, tags }) => [resourceType, tags['mailfleet:digest']] as unknown),
    [
      ['instance', DIGEST],
      ['volume', DIGEST],
    ],
  )
})

test('spot instances run only above the minimum and are replaced before AWS interrupts them', () => {
  const group = dev.one(GROUP)
  const { onDemandBaseCapacity, onDemandPercentageAboveBaseCapacity } = group['mixedInstancesPolicy']
    .instancesDistribution as ResourceInputs
  assert.deepEqual([onDemandBaseCapacity, onDemandPercentageAboveBaseCapacity], [group['minSize'], 0])
  assert.equal(group['capacityRebalance'], true)
  assert.equal(prod.one(GROUP)['capacityRebalance'], false)
})

test('the group publishes the metrics that its alarms read', () => {
  assert.ok((prod.one(GROUP)['enabledMetrics'] as string[]).includes('GroupInServiceInstances'))
})

for (const [stack, run] of Object.entries({ dev, prod }))
  test(`the server accepts the user data of ${stack}`, () => {
    const config = checkConfig('user data', decoded(run))
    assert.equal(config.queue.engine, 'aws')
    assert.equal(config.delivery.concurrency, 10)
  })

test('user data names secrets and contains none', () => {
  const { srs, tls } = decoded(prod)
  assert.deepEqual(srs, {
    domain: 'srs.example.com',
    secretsParameter: '/mailfleet/prod/srs-secrets',
  })
  assert.deepEqual(tls, {
    keyParameter: '/mailfleet/prod/tls-key',
    certParameter: '/mailfleet/prod/tls-cert',
  })
})

test('the server delivers with the concurrency of the scaling policy', async () => {
  const policy = { minInstances: 1, maxInstances: 3, concurrency: 25 }
  const run = await runMockedStack('dev', { config: { 'mailfleet:policy': policy } })
  assert.equal(decoded(run)['delivery'].concurrency, 25)
})

test('a configuration too large for user data is refused', () => {
  const stack = readStackConfig(exampleConfig('prod'), 'prod', PROJECT_FOLDER)
  const places = {
    region: 'eu-west-1',
    readyUrl: 'https://a',
    deferredUrl: 'https://b',
    table: 'c',
    bucket: 'd',
  }
  const config = instanceConfig({ ...stack, hostname: 'm'.repeat(16_384) }, places)
  assert.throws(() => userData(config), /user data holds at most 16384/)
})

test('no change of the configuration renames a resource', async () => {
  const changed = await runMockedStack('prod', {
    config: {
      'mailfleet:instanceTypes': ['m7i.large'],
      'mailfleet:spot': true,
      'mailfleet:imageId': IMAGE_ID,
      'mailfleet:imageChannel': undefined,
      'mailfleet:hostname': 'mail.example.net',
      'mailfleet:drainMs': 60_000,
      'mailfleet:policy': { minInstances: 3, maxInstances: 30 },
    },
  })
  const names = (run: typeof prod) => run.resources.map(({ type, name }) => `${type} ${name}`).toSorted()
  assert.deepEqual(names(changed), names(prod))
})
