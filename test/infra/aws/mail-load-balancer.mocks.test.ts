// The load balancer: it keeps the senders' addresses and cuts no session early.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runMockedStack, type ResourceInputs } from '../../kit/pulumi/mocked-stack.ts'

const prod = await runMockedStack('prod')
const targets = prod.one('lb/targetGroup:TargetGroup')

test('the idle timeout exceeds the 10 minutes that a sender may wait after its final dot', () => {
  const listener = prod.one('lb/listener:Listener')
  assert.deepEqual([listener['port'], listener['protocol']], [25, 'TCP'])
  const seconds = Number(listener['tcpIdleTimeoutSeconds'])
  assert.ok(seconds >= 600 && seconds <= 6000, `${seconds} s`)
})

test('servers see the senders’ addresses without a PROXY header', () => {
  assert.equal(targets['preserveClientIp'], 'true')
  assert.equal(targets['proxyProtocolV2'], false)
  assert.deepEqual([targets['port'], targets['protocol'], targets['targetType']], [25, 'TCP', 'instance'])
})

test('a drain resets no session: a deregistering or unready target keeps its sessions', () => {
  assert.equal(targets['connectionTermination'], false)
  assert.equal(targets['deregistrationDelay'], 300)
  assert.deepEqual(targets['targetHealthStates'], [
    { enableUnhealthyConnectionTermination: false, unhealthyDrainingInterval: 300 },
  ])
})

test('health checks ask /readyz', () => {
  const { protocol, path, port } = targets['healthCheck'] as ResourceInputs
  assert.deepEqual([protocol, path, port], ['HTTP', '/readyz', '9025'])
})

test('each zone has one fixed ingress address, and the stack outputs them', () => {
  const mappings = prod.one('lb/loadBalancer:LoadBalancer')['subnetMappings'] as ResourceInputs[]
  const allocations = mappings.map(({ allocationId }) => String(allocationId))
  assert.equal(new Set(allocations).size, 3)
  assert.deepEqual(
    allocations,
    [0, 1, 2].map((index) => `eipalloc-mailfleet-prod-${index}`),
  )
  assert.equal((prod.outputs['ingressIps'] as string[]).length, 3)
})

test('the world reaches port 25 of the load balancer, and only the load balancer that of the instances', () => {
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

test('of ICMP only "fragmentation needed" comes in, which paths with a small MTU need', () => {
  for (const { name, inputs } of prod.all('ec2/securityGroup:SecurityGroup')) {
    const rules = (inputs['ingress'] as ResourceInputs[]).filter((rule) => rule['protocol'] === 'icmp')
    const [{ fromPort: type, toPort: code } = {}] = rules
    assert.deepEqual([rules.length, type, code], [1, 3, 4], name)
  }
})

test('only the VPC reaches the admin port, and the load balancer may connect to it', () => {
  const rules = (group: string, direction: string) =>
    prod.one('ec2/securityGroup:SecurityGroup', `mailfleet-prod-${group}`)[direction] as ResourceInputs[]
  const admin = (found: ResourceInputs[]) => found.filter((rule) => rule['fromPort'] === 9025)
  assert.deepEqual(
    admin(rules('instance', 'ingress')).map((rule) => rule['cidrBlocks'] as unknown),
    [['10.20.0.0/16']],
  )
  assert.equal(admin(rules('balancer', 'egress')).length, 1)
})
