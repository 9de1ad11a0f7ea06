// The launch template with one literal image, and the Auto Scaling group that runs it.
// Owns: how instances launch, drain and are replaced. A failed rollout stops (docs/decisions/030: what a rollback reaches).
// Sets no desired capacity: the scaling policies own it, and each deploy would reset it.
import * as autoscaling from '@pulumi/aws/autoscaling/index.js'
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as pulumi from '@pulumi/pulumi'
import type { ScalingPolicy } from '../scaling/policy.ts'
import type { FleetImage } from './image.ts'
import { LAUNCH_HOOK, TERMINATE_HOOK } from '../../contract/lifecycle-hooks.ts'
import { DIGEST_TAG } from '../../contract/image-tags.ts'

/** From launch to the first forwarded mail takes half a minute. After ten times that, the launch has failed. */
const LAUNCH_SECONDS = 300
/**
 * Reserve of the terminate hook, on top of the drain: to notice the state and to complete the action. An instance sends
 * a heartbeat every minute, so it may miss one.
 */
const TERMINATE_MARGIN_SECONDS = 120
/**
 * A Network Load Balancer takes 180 to 300 s to register a target, then needs two health checks of 10 s. Before that,
 * the new instance receives no connections. A faster refresh would end the instances that do.
 */
const REGISTRATION_SECONDS = 300 + 2 * 10
/** For up to 300 s after deregistration begins, a Network Load Balancer still sends connections to the target. */
const DEREGISTRATION_SECONDS = 300
/** How long an instance takes to terminate, without its drain. */
const DELETE_MARGIN_SECONDS = 300
/** A rollout adds up to half the fleet at once, and ends an instance only after its replacement is in service. */
const REPLACEMENT = { least: 100, most: 150 }

export type MailFleetArgs = {
  /** The group's name. The instances' configuration contains it before the group exists. */
  fleetName: string
  image: FleetImage
  instanceTypes: readonly string[]
  spot: boolean
  policy: ScalingPolicy
  drainMs: number
  /** Base64. */
  userData: pulumi.Input<string>
  profileArn: pulumi.Input<string>
  securityGroupId: pulumi.Input<string>
  subnetIds: pulumi.Input<string>[]
  targetGroupArn: pulumi.Input<string>
  rolloutAlarmNames: pulumi.Input<string>[]
  /** What the first instance needs: the way to the internet, permissions and routes. */
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
    // AWS reads initial hooks at creation only, but they exist before the first instance. The same hooks as resources
    // apply later changes (PutLifecycleHook replaces a hook of the same name). They are deleted with the group: without
    // hooks its last instances would end without a drain.
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

  #group(
    name: string,
    args: MailFleetArgs,
    template: ec2.LaunchTemplate,
    hooks: LifecycleHookArgs[],
  ): autoscaling.Group {
    const { policy } = args
    return new autoscaling.Group(
      name,
      {
        name: args.fleetName,
        minSize: policy.minInstances,
        maxSize: policy.maxInstances,
        vpcZoneIdentifiers: args.subnetIds,
        targetGroupArns: [args.targetGroupArn],
        mixedInstancesPolicy: mixedInstances(args, template),
        // Not ELB: an outage of SQS or DNS makes all targets unready and must replace no instance.
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

/** The same form for one or several types, with or without spot: changing between them replaces no resource. */
function mixedInstances({ instanceTypes, spot, policy }: MailFleetArgs, template: ec2.LaunchTemplate) {
  return {
    launchTemplate: {
      launchTemplateSpecification: {
        launchTemplateId: template.id,
        // Not $Latest: then no refresh would start by itself, and none could be rolled back.
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
 * How long the provider may take to empty the group before it deletes it; by default 10 minutes. That is too short for
 * deregistration, whose delay is one drain, plus the terminate hook of an instance that does not respond.
 */
function deleteSeconds(drainMs: number): number {
  const margins = DEREGISTRATION_SECONDS + TERMINATE_MARGIN_SECONDS + DELETE_MARGIN_SECONDS
  return 2 * Math.ceil(drainMs / 1000) + margins
}

type LifecycleHookArgs = {
  name: string
  lifecycleTransition: string
  defaultResult: string
  heartbeatTimeout: number
}

/**
 * An incomplete launch is abandoned: a half-booted instance is no capacity. An incomplete termination continues: the
 * leases of a dead instance expire, and the queue gives its work to others.
 */
function lifecycleHooks(drainMs: number): LifecycleHookArgs[] {
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
