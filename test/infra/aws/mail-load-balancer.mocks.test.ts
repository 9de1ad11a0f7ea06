// Where mail comes in: senders' addresses are kept, and no session is cut that could still end well.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runStack, type ResourceInputs } from '../../kit/pulumi/mocked-stack.ts'

const prod = await runStack('prod')
const targets = prod.one('lb/targetGroup:TargetGroup')

test('a sender may wait 10 minutes after its final dot: the idle time-out is longer', () => {
  const listener = prod.one('lb/listener:Listener')
  assert.deepEqual([listener['port'], listener['protocol']], [25, 'TCP'])
  const seconds = Number(listener['tcpIdleTimeoutSeconds'])
  assert.ok(seconds >= 600 && seconds <= 6000, `${seconds} s`)
})

test('servers see the senders’ own addresses, without a PROXY header that they cannot read', () => {
  assert.equal(targets['preserveClientIp'], 'true')
  assert.equal(targets['proxyProtocolV2'], false)
  assert.deepEqual([targets['port'], targets['protocol'], targets['targetType']], [25, 'TCP', 'instance'])
})

test('a drain resets no session: neither a target that leaves nor one that is not ready loses those it has', () => {
  assert.equal(targets['connectionTermination'], false)
  assert.equal(targets['deregistrationDelay'], 300)
  assert.deepEqual(targets['targetHealthStates'], [
    { enableUnhealthyConnectionTermination: false, unhealthyDrainingInterval: 300 },
  ])
})

test('new sessions go where /readyz says so', () => {
  const { protocol, path, port } = targets['healthCheck'] as ResourceInputs
  assert.deepEqual([protocol, path, port], ['HTTP', '/readyz', '9025'])
})

test('the hostname’s addresses are fixed, one in each zone, and are the stack’s output', () => {
  const mappings = prod.one('lb/loadBalancer:LoadBalancer')['subnetMappings'] as ResourceInputs[]
  const allocations = mappings.map(({ allocationId }) => String(allocationId))
  assert.equal(new Set(allocations).size, 3)
  assert.deepEqual(
    allocations,
    [0, 1, 2].map((index) => `eipalloc-mailfleet-prod-${index}`),
  )
  assert.equal((prod.outputs['ingressIps'] as string[]).length, 3)
})

test('port 25 is the world’s at the load balancer, and the load balancer’s at the instances', () => {
  const balancer = prod.one('ec2/securityGroup:SecurityGroup', 'mailfleet-prod-balancer')
  const instance = prod.one('ec2/securityGroup:SecurityGroup', 'mailfleet-prod-instance')
  assert.deepEqual(prod.one('lb/loadBalancer:LoadBalancer')['securityGroups'], [
    'SecurityGroup-mailfleet-prod-balancer',
  ])
  const [world, ...more] = (balancer['ingress'] as ResourceInputs[]).filter(
    (rule) => rule['protocol'] !== 'icmp',
  )
  assert.deepEqual(more, [])
  assert.deepEqual([world?.['fromPort'], world?.['toPort'], world?.['cidrBlocks']], [25, 25, ['0.0.0.0/0']])
  const smtp = (instance['ingress'] as ResourceInputs[]).find((rule) => rule['fromPort'] === 25)
  assert.deepEqual(smtp?.['securityGroups'], ['SecurityGroup-mailfleet-prod-balancer'])
  assert.ok(!('cidrBlocks' in smtp))
})

test('"fragmentation needed" comes in, so that long mail gets through a small MTU; no other ICMP does', () => {
  for (const { name, inputs } of prod.all('ec2/securityGroup:SecurityGroup')) {
    const rules = (inputs['ingress'] as ResourceInputs[]).filter((rule) => rule['protocol'] === 'icmp')
    const [{ fromPort: type, toPort: code } = {}] = rules
    assert.deepEqual([rules.length, type, code], [1, 3, 4], name)
  }
})

test('the admin port is open to the VPC only, and the load balancer may ask it', () => {
  const rules = (group: string, direction: string) =>
    prod.one('ec2/securityGroup:SecurityGroup', `mailfleet-prod-${group}`)[direction] as ResourceInputs[]
  const admin = (found: ResourceInputs[]) => found.filter((rule) => rule['fromPort'] === 9025)
  assert.deepEqual(
    admin(rules('instance', 'ingress')).map((rule) => rule['cidrBlocks'] as unknown),
    [['10.20.0.0/16']],
  )
  assert.equal(admin(rules('balancer', 'egress')).length, 1)
})
