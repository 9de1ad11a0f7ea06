// The Pulumi program: one stack is one fleet in one region.
// Owns: the components' arguments and the stack's outputs. Checks configuration, image and secrets before it registers
// the first resource. Fails with RunError, which Pulumi prints without a stack trace.
import * as pulumi from '@pulumi/pulumi'
import { allConfig } from '@pulumi/pulumi/runtime/config.js'
import { getAvailabilityZones } from '@pulumi/aws/getAvailabilityZones.js'
import { getCallerIdentity } from '@pulumi/aws/getCallerIdentity.js'
import { getPartition } from '@pulumi/aws/getPartition.js'
import { getRegion } from '@pulumi/aws/getRegion.js'
import { join } from 'node:path'
import { Alarms } from './aws/alarms.ts'
import { resolveImage, type ImageRequest } from './aws/image.ts'
import { instanceConfig, instanceParameters, userData } from './aws/instance-config.ts'
import { requireInstanceTypes } from './aws/instance-types.ts'
import { InstanceRole } from './aws/instance-role.ts'
import { MailFleet } from './aws/mail-fleet.ts'
import { MailLoadBalancer } from './aws/mail-load-balancer.ts'
import { MailQueue } from './aws/mail-queue.ts'
import { FleetNetwork } from './aws/network.ts'
import { requireSecrets } from './aws/secret-parameters.ts'
import { providerMessage } from './aws/provider-error.ts'
import { QueuePulse } from './aws/queue-pulse.ts'
import { QueueScaling } from './aws/queue-scaling.ts'
import { volumeKeyWarning } from './aws/volume-key.ts'
import { readStackConfig, StackConfigError, type StackConfig } from './stack-config.ts'

/** The program. @returns the stack's outputs. */
export default async function main(): Promise<Record<string, unknown>> {
  const stack = stackConfig()
  const account = await lookUpAccount(stack)
  const { fleetName, protect } = stack
  const network = new FleetNetwork(
    fleetName,
    {
      region: account.region,
      vpcCidr: stack.vpcCidr,
      zones: account.zones,
      natPerZone: stack.natPerZone,
      sqsEndpoint: stack.sqsEndpoint,
    },
    { protect },
  )
  const queue = new MailQueue(fleetName, { routesFile: stack.routesFile, protect }, { protect })
  const balancer = new MailLoadBalancer(
    fleetName,
    {
      vpcId: network.vpcId,
      vpcCidr: stack.vpcCidr,
      internetGateway: network.internetGateway,
      publicSubnetIds: network.publicSubnetIds,
      drainMs: stack.drainMs,
      protect,
    },
    { protect },
  )
  const alarms = new Alarms(fleetName, {
    fleetName,
    email: stack.alarmEmail,
    minInstances: stack.policy.minInstances,
    deadLettersName: queue.deadLetters.name,
    readyName: queue.ready.name,
    targets: balancer.dimensions,
  })
  const fleet = createFleet(stack, account, { network, queue, balancer, alarms })
  createScaling(stack, fleet, queue, alarms)
  return {
    imageId: account.image.imageId,
    imageDigest: account.image.digest,
    groupName: fleet.groupName,
    templateVersion: fleet.templateVersion,
    nlbDnsName: balancer.dnsName,
    ingressIps: balancer.ingressIps,
    egressIps: network.egressIps,
    readyQueueUrl: queue.ready.url,
    deferredQueueUrl: queue.deferred.url,
    deadLettersUrl: queue.deadLetters.url,
    alarmTopicArn: alarms.topicArn,
  }
}

type Account = Awaited<ReturnType<typeof lookUpAccount>>
type FleetParts = { network: FleetNetwork; queue: MailQueue; balancer: MailLoadBalancer; alarms: Alarms }

function createFleet(stack: StackConfig, account: Account, parts: FleetParts): MailFleet {
  const { network, queue, balancer, alarms } = parts
  const { fleetName } = stack
  const protect = { protect: stack.protect }
  const role = new InstanceRole(
    fleetName,
    {
      region: account.region,
      accountId: account.accountId,
      partition: account.partition,
      fleetName,
      queueArns: [queue.ready.arn, queue.deferred.arn],
      bucketArn: queue.bucket.arn,
      tableArn: queue.table.arn,
      parameters: instanceParameters(stack),
    },
    protect,
  )
  return new MailFleet(
    fleetName,
    {
      fleetName,
      image: account.image,
      instanceTypes: stack.instanceTypes,
      spot: stack.spot,
      policy: stack.policy,
      drainMs: stack.drainMs,
      userData: encodedConfig(stack, account.region, queue),
      profileArn: role.profileArn,
      securityGroupId: balancer.instanceSecurityGroupId,
      subnetIds: network.privateSubnetIds,
      targetGroupArn: balancer.targetGroupArn,
      rolloutAlarmNames: alarms.rolloutAlarmNames,
      after: [network, queue, balancer, role],
    },
    protect,
  )
}

function createScaling(stack: StackConfig, fleet: MailFleet, queue: MailQueue, { topicArn }: Alarms): void {
  const { fleetName, policy } = stack
  const { groupName } = fleet
  new QueuePulse(`${fleetName}-pulse`, {
    fleetName,
    groupName,
    policy,
    ready: queue.ready,
    deferred: queue.deferred,
    table: queue.table,
    topicArn,
    reservesConcurrency: stack.reservePulse,
  })
  new QueueScaling(`${fleetName}-scaling`, {
    fleetName,
    groupName,
    policy,
    readyQueueName: queue.ready.name,
    topicArn,
  })
}

/** @throws {RunError} on a bad configuration. */
function stackConfig(): StackConfig {
  try {
    return readStackConfig(allConfig(), pulumi.getStack(), join(import.meta.dirname, '..'))
  } catch (error) {
    throw error instanceof StackConfigError ? new pulumi.RunError(error.message) : error
  }
}

/** Looks up image, zones and identity, and checks secrets and instance types. @throws {RunError} on the first problem. */
async function lookUpAccount(stack: StackConfig) {
  try {
    const { region } = await getRegion()
    const [image, { accountId }, { partition }, zones] = await Promise.all([
      resolveImage(wantedImage(stack), region),
      getCallerIdentity(),
      getPartition(),
      firstZones(stack.availabilityZones, region),
      requireSecrets(instanceParameters(stack), region),
    ])
    await requireInstanceTypes(stack.instanceTypes, image, region)
    const warning = await volumeKeyWarning(image, { accountId, partition })
    if (warning !== undefined) await pulumi.log.warn(warning)
    return { region, image, accountId, partition, zones }
  } catch (error) {
    if (pulumi.RunError.isInstance(error)) throw error
    throw new pulumi.RunError(`An AWS look-up failed: ${providerMessage(error)}`)
  }
}

const wantedImage = ({ imageId, imageChannel, imageOwner: owner }: StackConfig): ImageRequest =>
  imageId === undefined ? { channel: imageChannel ?? pulumi.getStack(), owner } : { imageId, owner }

/**
 * The region's first zones by name, without local and wavelength zones. Includes zones that are impaired: if one left the
 * list, all later zones and their subnets would move.
 * @throws {RunError} when the region has too few zones.
 */
async function firstZones(count: number, region: string): Promise<string[]> {
  const { names } = await getAvailabilityZones({
    filters: [{ name: 'opt-in-status', values: ['opt-in-not-required'] }],
  })
  if (names.length < count)
    throw new pulumi.RunError(
      `${region} has ${names.length} availability zones, not ${count}: pulumi config set mailfleet:availabilityZones ${names.length}`,
    )
  return names.toSorted().slice(0, count)
}

function encodedConfig(stack: StackConfig, region: string, { ready, deferred, table, bucket }: MailQueue) {
  return pulumi
    .all([ready.url, deferred.url, table.name, bucket.name])
    .apply(([readyUrl, deferredUrl, table, bucket]) =>
      userData(instanceConfig(stack, { region, readyUrl, deferredUrl, table, bucket })),
    )
}
