// The network: fixed outbound addresses, unreachable instances, and independent zones with natPerZone.
/* eslint-disable @typescript-eslint/no-unsafe-member-access -- the comparison checks the inputs' types */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fakeAccount } from '../../kit/aws/fake-aws.ts'
import { previewError, runMockedStack, type ResourceInputs } from '../../kit/pulumi/mocked-stack.ts'

const dev = await runMockedStack('dev')
const prod = await runMockedStack('prod')

test('mail leaves from fixed addresses, and the stack outputs them for PTR records', () => {
  const gateways = prod.all('ec2/natGateway:NatGateway')
  assert.deepEqual(
    gateways.map(({ inputs }) => inputs['allocationId'] as unknown),
    [0, 1, 2].map((index) => `eipalloc-mailfleet-prod-nat-${index}`),
  )
  assert.equal((prod.outputs['egressIps'] as string[]).length, 3)
  assert.equal((dev.outputs['egressIps'] as string[]).length, 1)
})

test('a NAT gateway in each zone serves its own zone; a single one serves all zones', () => {
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

test('instances are in private subnets without public addresses', () => {
  assert.deepEqual(
    prod.one('autoscaling/group:Group')['vpcZoneIdentifiers'],
    [0, 1, 2].map((index) => `Subnet-mailfleet-prod-private-${index}`),
  )
  for (const { inputs } of prod.all('ec2/subnet:Subnet')) assert.equal(inputs['mapPublicIpOnLaunch'], false)
})

test('S3 and DynamoDB bypass the NAT gateways in every zone', () => {
  const endpoints = prod.all('ec2/vpcEndpoint:VpcEndpoint').map(({ inputs }) => inputs)
  assert.deepEqual(
    endpoints.map((endpoint) => endpoint['serviceName'] as unknown),
    ['com.amazonaws.eu-west-1.s3', 'com.amazonaws.eu-west-1.dynamodb'],
  )
  for (const endpoint of endpoints) assert.equal(endpoint['routeTableIds'].length, 3)
})

test('with sqsEndpoint, SQS bypasses the NAT gateways in every zone under its own name', async () => {
  const run = await runMockedStack('prod', { config: { 'mailfleet:sqsEndpoint': true } })
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

test('zones are used in the order of their names, whatever AWS’s order', () => {
  const zones = dev.all('ec2/subnet:Subnet').map(({ inputs }) => inputs['availabilityZone'] as unknown)
  assert.deepEqual([...new Set(zones)], ['eu-west-1a', 'eu-west-1b'])
})

test('an impaired zone stays in the list, so that no other subnet moves', async () => {
  const account = fakeAccount()
  await runMockedStack('dev', { account })
  assert.deepEqual(account.asked['getAvailabilityZones'], {
    filters: [{ name: 'opt-in-status', values: ['opt-in-not-required'] }],
  })
})

test('asking for more zones than the region has stops the preview', async () => {
  const account = { ...fakeAccount(), zones: ['eu-west-1a'] }
  assert.equal(
    await previewError('dev', { account }),
    'eu-west-1 has 1 availability zones, not 2: pulumi config set mailfleet:availabilityZones 1',
  )
})
