// The fleet itself: a launch template with one literal image, and the Auto Scaling group that runs it.
// Owns: how instances are launched, replaced and ended. A launch counts once the instance says so through its hook; an
// instance that goes drains first; a rollout that fails stops (docs/decisions/030: what a rollback reaches). The group's
// size within its bounds is the scaling policies' business: there is no desired capacity here, or every deploy would reset it.
import * as autoscaling from '@pulumi/aws/autoscaling/index.js'
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as pulumi from '@pulumi/pulumi'
import type { ScalingPolicy } from '../scaling/policy.ts'
import type { FleetImage } from './image.ts'
import { LAUNCH_HOOK, TERMINATE_HOOK } from '../../contract/lifecycle-hooks.ts'
import { DIGEST_TAG } from '../../contract/image-tags.ts'

/** Launch to first forwarded mail takes half a minute; ten times that means it will not come. */
const LAUNCH_SECONDS = 300
/**
 * What the end of an instance may take on top of its drain: noticing its state, completing the action. An instance that
 * heartbeats every minute misses one of them before its time is up.
 */
const TERMINATE_MARGIN_SECONDS = 120
/**
 * A Network Load Balancer takes 180 to 300 s to register a target, then two health checks of 10 s. Until then the
 * instance takes no session. A refresh that went on sooner would end the instances that take the mail.
 */
const REGISTRATION_SECONDS = 300 + 2 * 10
/** A Network Load Balancer goes on sending connections to a target for up to 300 s after its deregistration began. */
const DEREGISTRATION_SECONDS = 300
/** The end of an instance, apart from its drain. */
const DELETE_MARGIN_SECONDS = 300
/** A rollout adds half the fleet at a time and takes nothing away before what replaces it is in service. */
const REPLACEMENT = { least: 100, most: 150 }

export type MailFleetArgs = {
  /** The group's name. Instances are told it before the group exists. */
  fleetName: string
  image: FleetImage
  instanceTypes: readonly string[]
  spot: boolean
  policy: ScalingPolicy
  drainMs: number
  /** In base64. */
  userData: pulumi.Input<string>
  profileArn: pulumi.Input<string>
  securityGroupId: pulumi.Input<string>
  subnetIds: pulumi.Input<string>[]
  targetGroupArn: pulumi.Input<string>
  rolloutAlarmNames: pulumi.Input<string>[]
  /** What has to be there before a first instance can start: the way out, the rights, the routes. */
  after: pulumi.Resource[]
}

export class MailFleet extends pulumi.ComponentResource {
  readonly groupName: pulumi.Output<string>
  readonly templateVersion: pulumi.Output<number>

  constructor(name: string, args: MailFleetArgs, opts?: pulumi.ComponentResourceOptions) {
    super('mailfleet:aws:MailFleet', name, {}, opts)
    const template = this.#template(name, args)
    const hooks = lifecycleHooks(args.drainMs)
    const group = this.#group(name, args, template, hooks)
    // The initial hooks exist before the first instance, but only creation reads them. The same hooks as resources
    // carry later changes (PutLifecycleHook replaces a hook of the same name). They go with the group: deleted before
    // it, its last instances would end without a drain.
    for (const hook of hooks)
      new autoscaling.LifecycleHook(
        `${name}-${hook.name}`,
        { ...hook, autoscalingGroupName: group.name },
        { parent: this, deletedWith: group },
      )
    this.groupName = group.name
    this.templateVersion = template.latestVersion
    this.registerOutputs({ groupName: this.groupName, templateVersion: this.templateVersion })
  }

  #template(name: string, args: MailFleetArgs): ec2.LaunchTemplate {
    const tags = { Name: args.fleetName, [DIGEST_TAG]: args.image.digest }
    return new ec2.LaunchTemplate(
      name,
      {
        imageId: args.image.imageId,
        userData: args.userData,
        iamInstanceProfile: { arn: args.profileArn },
        metadataOptions: { httpEndpoint: 'enabled', httpTokens: 'required', httpPutResponseHopLimit: 1 },
        blockDeviceMappings: [
          {
            deviceName: args.image.rootDeviceName,
            ebs: { encrypted: 'true', volumeType: 'gp3', deleteOnTermination: 'true' },
          },
        ],
        networkInterfaces: [
          {
            deviceIndex: 0,
            associatePublicIpAddress: 'false',
            deleteOnTermination: 'true',
            securityGroups: [args.securityGroupId],
          },
        ],
        tagSpecifications: ['instance', 'volume'].map((resourceType) => ({ resourceType, tags })),
      },
      { parent: this },
    )
  }

  #group(name: string, args: MailFleetArgs, template: ec2.LaunchTemplate, hooks: Hook[]): autoscaling.Group {
    const { policy } = args
    return new autoscaling.Group(
      name,
      {
        name: args.fleetName,
        minSize: policy.minInstances,
        maxSize: policy.maxInstances,
        vpcZoneIdentifiers: args.subnetIds,
        targetGroupArns: [args.targetGroupArn],
        mixedInstancesPolicy: instances(args, template),
        // Not ELB: an outage of SQS or DNS makes every target unready, and must replace none.
        healthCheckType: 'EC2',
        healthCheckGracePeriod: 0,
        defaultInstanceWarmup: warmupSeconds(policy),
        capacityRebalance: args.spot,
        initialLifecycleHooks: hooks,
        instanceMaintenancePolicy: {
          minHealthyPercentage: REPLACEMENT.least,
          maxHealthyPercentage: REPLACEMENT.most,
        },
        instanceRefresh: {
          strategy: 'Rolling',
          preferences: {
            minHealthyPercentage: REPLACEMENT.least,
            maxHealthyPercentage: REPLACEMENT.most,
            instanceWarmup: String(Math.max(REGISTRATION_SECONDS, warmupSeconds(policy))),
            skipMatching: true,
            autoRollback: true,
            alarmSpecification: { alarms: args.rolloutAlarmNames },
          },
        },
        enabledMetrics: [
          'GroupDesiredCapacity',
          'GroupInServiceInstances',
          'GroupPendingInstances',
          'GroupTerminatingInstances',
          'GroupTotalInstances',
        ],
        waitForCapacityTimeout: '10m',
        tags: [{ key: 'Name', value: args.fleetName, propagateAtLaunch: true }],
      },
      {
        parent: this,
        dependsOn: args.after,
        ignoreChanges: ['initialLifecycleHooks'],
        customTimeouts: { delete: `${deleteSeconds(args.drainMs)}s` },
      },
    )
  }
}

/** One form for one instance type and for many, for spot and not: a change between them replaces nothing. */
function instances({ instanceTypes, spot, policy }: MailFleetArgs, template: ec2.LaunchTemplate) {
  return {
    launchTemplate: {
      launchTemplateSpecification: {
        launchTemplateId: template.id,
        // Never $Latest: a refresh would not start by itself, and none could be rolled back.
        version: template.latestVersion.apply(String),
      },
      overrides: instanceTypes.map((instanceType) => ({ instanceType })),
    },
    instancesDistribution: {
      onDemandAllocationStrategy: 'prioritized',
      onDemandBaseCapacity: spot ? policy.minInstances : 0,
      onDemandPercentageAboveBaseCapacity: spot ? 0 : 100,
      spotAllocationStrategy: 'price-capacity-optimized',
    },
  }
}

function warmupSeconds({ warmupMs }: ScalingPolicy): number {
  return Math.ceil(warmupMs / 1000)
}

/**
 * The provider empties the group before it deletes it, and gives that 10 minutes. That is too short for deregistration,
 * whose delay is one drain, and then the terminate hook of an instance that does not answer.
 */
function deleteSeconds(drainMs: number): number {
  const margins = DEREGISTRATION_SECONDS + TERMINATE_MARGIN_SECONDS + DELETE_MARGIN_SECONDS
  return 2 * Math.ceil(drainMs / 1000) + margins
}

type Hook = { name: string; lifecycleTransition: string; defaultResult: string; heartbeatTimeout: number }

/**
 * A launch that is not completed is abandoned: half-booted instances are no capacity. An end that is not completed goes
 * on: the queue holds the work of an instance that died, and its leases run out.
 */
function lifecycleHooks(drainMs: number): Hook[] {
  return [
    {
      name: LAUNCH_HOOK,
      lifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING',
      defaultResult: 'ABANDON',
      heartbeatTimeout: LAUNCH_SECONDS,
    },
    {
      name: TERMINATE_HOOK,
      lifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
      defaultResult: 'CONTINUE',
      heartbeatTimeout: Math.ceil(drainMs / 1000) + TERMINATE_MARGIN_SECONDS,
    },
  ]
}
