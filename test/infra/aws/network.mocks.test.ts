// The network: fixed addresses to the outside, instances out of reach, each zone on its own where asked for.
/* eslint-disable @typescript-eslint/no-unsafe-member-access -- what a resource's inputs are, the comparison says */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { madeUpAccount } from '../../kit/aws/fake-aws.ts'
import { previewError, runStack, type ResourceInputs } from '../../kit/pulumi/mocked-stack.ts'

const dev = await runStack('dev')
const prod = await runStack('prod')

test('mail leaves by fixed addresses, which are the stack’s output for their PTR records', () => {
  const gateways = prod.all('ec2/natGateway:NatGateway')
  assert.deepEqual(
    gateways.map(({ inputs }) => inputs['allocationId'] as unknown),
    [0, 1, 2].map((index) => `eipalloc-mailfleet-prod-nat-${index}`),
  )
  assert.equal((prod.outputs['egressIps'] as string[]).length, 3)
  assert.equal((dev.outputs['egressIps'] as string[]).length, 1)
})

test('a NAT gateway in every zone serves its own zone; one alone serves all', () => {
  const ways = (run: typeof prod) =>
    run
      .all('ec2/routeTable:RouteTable')
      .filter(({ name }) => name.includes('private'))
      .map(({ inputs }) => (inputs['routes'] as ResourceInputs[])[0]?.['natGatewayId'] as unknown)
  assert.deepEqual(
    ways(prod),
    [0, 1, 2].map((index) => `NatGateway-mailfleet-prod-nat-${index}`),
  )
  assert.deepEqual(ways(dev), ['NatGateway-mailfleet-dev-nat-0', 'NatGateway-mailfleet-dev-nat-0'])
})

test('instances are in private subnets, where nothing gets a public address', () => {
  assert.deepEqual(
    prod.one('autoscaling/group:Group')['vpcZoneIdentifiers'],
    [0, 1, 2].map((index) => `Subnet-mailfleet-prod-private-${index}`),
  )
  for (const { inputs } of prod.all('ec2/subnet:Subnet')) assert.equal(inputs['mapPublicIpOnLaunch'], false)
})

test('bodies and state bypass the NAT gateways, in every zone', () => {
  const endpoints = prod.all('ec2/vpcEndpoint:VpcEndpoint').map(({ inputs }) => inputs)
  assert.deepEqual(
    endpoints.map((endpoint) => endpoint['serviceName'] as unknown),
    ['com.amazonaws.eu-west-1.s3', 'com.amazonaws.eu-west-1.dynamodb'],
  )
  for (const endpoint of endpoints) assert.equal(endpoint['routeTableIds'].length, 3)
})

test('with sqsEndpoint, SQS bypasses the NAT gateways too, in every zone and under its own name', async () => {
  const run = await runStack('prod', { config: { 'mailfleet:sqsEndpoint': true } })
  const endpoint = run.one('ec2/vpcEndpoint:VpcEndpoint', 'mailfleet-prod-sqs')
  assert.equal(endpoint['serviceName'], 'com.amazonaws.eu-west-1.sqs')
  assert.equal(endpoint['vpcEndpointType'], 'Interface')
  assert.equal(endpoint['privateDnsEnabled'], true)
  assert.deepEqual(
    endpoint['subnetIds'],
    [0, 1, 2].map((index) => `Subnet-mailfleet-prod-private-${index}`),
  )
  assert.deepEqual(endpoint['securityGroupIds'], ['SecurityGroup-mailfleet-prod-sqs'])
  const { ingress } = run.one('ec2/securityGroup:SecurityGroup', 'mailfleet-prod-sqs')
  assert.deepEqual(ingress, [{ protocol: 'tcp', fromPort: 443, toPort: 443, cidrBlocks: ['10.20.0.0/16'] }])
})

test('zones are taken in the order of their names, whatever order AWS lists them in', () => {
  const zones = dev.all('ec2/subnet:Subnet').map(({ inputs }) => inputs['availabilityZone'] as unknown)
  assert.deepEqual([...new Set(zones)], ['eu-west-1a', 'eu-west-1b'])
})

test('a zone that is impaired stays in the list, or the later zones’ subnets would move', async () => {
  const account = madeUpAccount()
  await runStack('dev', { account })
  assert.deepEqual(account.asked['getAvailabilityZones'], {
    filters: [{ name: 'opt-in-status', values: ['opt-in-not-required'] }],
  })
})

test('more zones than the region has stop the preview', async () => {
  const account = { ...madeUpAccount(), zones: ['eu-west-1a'] }
  assert.equal(
    await previewError('dev', { account }),
    'eu-west-1 has 1 availability zones, not 2: pulumi config set mailfleet:availabilityZones 1',
  )
})
