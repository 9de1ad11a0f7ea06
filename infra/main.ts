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
import { resolveImage } from './aws/image.ts'
import { instanceConfig, instanceParameters, userData } from './aws/instance-config.ts'
import { InstanceRole } from './aws/instance-role.ts'
import { MailFleet } from './aws/mail-fleet.ts'
import { MailLoadBalancer } from './aws/mail-load-balancer.ts'
import { MailQueue } from './aws/mail-queue.ts'
import { Network } from './aws/network.ts'
import { requireSecrets } from './aws/parameters.ts'
import { causeOf } from './aws/provider-error.ts'
import { readStackConfig, StackConfigError, type StackConfig } from './stack-config.ts'

/** The program. @returns the stack's outputs. */
export default async function main(): Promise<Record<string, unknown>> {
  const stack = stackConfig()
  const { region, image, accountId, partition, zones } = await lookUp(stack)
  const { fleetName, policy, vpcCidr, protect } = stack
  const network = new Network(fleetName, {
    region,
    vpcCidr,
    zones,
    natPerZone: stack.natPerZone,
    protect,
  })
  const queue = new MailQueue(fleetName, { routesFile: stack.routesFile, protect }, { protect })
  const balancer = new MailLoadBalancer(fleetName, {
    vpcId: network.vpcId,
    vpcCidr,
    publicSubnetIds: network.publicSubnetIds,
    drainMs: stack.drainMs,
    protect,
  })
  const role = new InstanceRole(fleetName, {
    region,
    accountId,
    partition,
    fleetName,
    queueArns: [queue.ready.arn, queue.deferred.arn],
    bucketArn: queue.bucket.arn,
    tableArn: queue.table.arn,
    parameters: instanceParameters(stack),
  })
  const alarms = new Alarms(fleetName, {
    fleetName,
    ...(stack.alarmEmail === undefined ? {} : { email: stack.alarmEmail }),
    minInstances: policy.minInstances,
    deadLettersName: queue.deadLetters.name,
    readyName: queue.ready.name,
    targets: balancer.dimensions,
  })
  const fleet = new MailFleet(fleetName, {
    fleetName,
    image,
    instanceTypes: stack.instanceTypes,
    spot: stack.spot,
    policy,
    drainMs: stack.drainMs,
    userData: encodedConfig(stack, region, queue),
    profileArn: role.profileArn,
    securityGroupId: balancer.instanceSecurityGroupId,
    subnetIds: network.privateSubnetIds,
    targetGroupArn: balancer.targetGroupArn,
    rolloutAlarmNames: alarms.rolloutAlarmNames,
    after: [network, queue, balancer, role],
  })
  return {
    imageId: image.imageId,
    imageDigest: image.digest,
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
    return { region, image, accountId, partition, zones }
  } catch (error) {
    if (pulumi.RunError.isInstance(error)) throw error
    throw new pulumi.RunError(`AWS could not be asked: ${causeOf(error)}`)
  }
}

const wantedImage = ({ imageId, imageChannel }: StackConfig) =>
  imageId === undefined ? { channel: imageChannel ?? pulumi.getStack() } : { imageId }

/** The region's first zones by name, without local and wavelength zones. @throws {RunError} when it has not so many. */
async function firstZones(count: number, region: string): Promise<string[]> {
  const { names } = await getAvailabilityZones({
    state: 'available',
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
