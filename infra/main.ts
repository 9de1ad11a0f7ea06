// The Pulumi program: one stack is one fleet in one region.
// Owns: which component gets what, and the stack's outputs. Everything that can be wrong is found before the first
// resource is registered, and said in a sentence: the configuration, the image, the secrets.
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
import { requireSecrets } from './aws/parameters.ts'
import { providerMessage } from './aws/provider-error.ts'
import { QueuePulse } from './aws/queue-pulse.ts'
import { QueueScaling } from './aws/queue-scaling.ts'
import { volumeKeyWarning } from './aws/volume-key.ts'
import { readStackConfig, StackConfigError, type StackConfig } from './stack-config.ts'

/** The program. @returns the stack's outputs. */
export default async function main(): Promise<Record<string, unknown>> {
  const stack = stackConfig()
  const found = await lookUp(stack)
  const { fleetName, protect } = stack
  const network = new FleetNetwork(
    fleetName,
    {
      region: found.region,
      vpcCidr: stack.vpcCidr,
      zones: found.zones,
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
    ...(stack.alarmEmail === undefined ? {} : { email: stack.alarmEmail }),
    minInstances: stack.policy.minInstances,
    deadLettersName: queue.deadLetters.name,
    readyName: queue.ready.name,
    targets: balancer.dimensions,
  })
  const fleet = instances(stack, found, { network, queue, balancer, alarms })
  scaling(stack, fleet, queue, alarms)
  return {
    imageId: found.image.imageId,
    imageDigest: found.image.digest,
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

type Found = Awaited<ReturnType<typeof lookUp>>
type Surroundings = { network: FleetNetwork; queue: MailQueue; balancer: MailLoadBalancer; alarms: Alarms }

function instances(stack: StackConfig, found: Found, around: Surroundings): MailFleet {
  const { network, queue, balancer, alarms } = around
  const { fleetName } = stack
  const protect = { protect: stack.protect }
  const role = new InstanceRole(
    fleetName,
    {
      region: found.region,
      accountId: found.accountId,
      partition: found.partition,
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
      image: found.image,
      instanceTypes: stack.instanceTypes,
      spot: stack.spot,
      policy: stack.policy,
      drainMs: stack.drainMs,
      userData: encodedConfig(stack, found.region, queue),
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

function scaling(stack: StackConfig, fleet: MailFleet, queue: MailQueue, { topicArn }: Alarms): void {
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
    ...(stack.reservePulse ? {} : { reservedConcurrency: -1 }),
  })
  new QueueScaling(`${fleetName}-scaling`, {
    fleetName,
    groupName,
    policy,
    readyQueueName: queue.ready.name,
    topicArn,
  })
}

/** @throws {RunError} instead of what reading throws: Pulumi prints that one without a stack. */
function stackConfig(): StackConfig {
  try {
    return readStackConfig(allConfig(), pulumi.getStack(), join(import.meta.dirname, '..'))
  } catch (error) {
    throw error instanceof StackConfigError ? new pulumi.RunError(error.message) : error
  }
}

/** What has to be known of the account first. @throws {RunError} when something is missing or cannot be asked. */
async function lookUp(stack: StackConfig) {
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
    throw new pulumi.RunError(`AWS could not be asked: ${providerMessage(error)}`)
  }
}

const wantedImage = ({ imageId, imageChannel, imageOwner: owner }: StackConfig): ImageRequest =>
  imageId === undefined ? { channel: imageChannel ?? pulumi.getStack(), owner } : { imageId, owner }

/**
 * The region's first zones by name, without local and wavelength zones. Also those that are impaired right now: a zone
 * that dropped out of the list would move every later one, and with them their subnets.
 * @throws {RunError} when it has not so many.
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
