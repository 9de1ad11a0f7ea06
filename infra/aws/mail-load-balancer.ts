// Where a fleet's mail comes in: a Network Load Balancer on TCP 25 with an Elastic IP in each zone.
// Owns: listener, target group and both security groups. The servers see the senders' own addresses. A drain resets no
// connection here: neither a target that leaves nor one that says "not ready" loses the sessions it has.
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as lb from '@pulumi/aws/lb/index.js'
import * as pulumi from '@pulumi/pulumi'
import { READY_PATH } from '../../contract/admin-paths.ts'
import { ADMIN_PORT, SMTP_PORT } from '../../contract/ports.ts'

/** A sender may wait 10 minutes for the reply to its final dot (RFC 5321 section 4.5.3.2.6); one more, to be sure. */
const IDLE_SECONDS = 660

export type MailLoadBalancerArgs = {
  vpcId: pulumi.Input<string>
  vpcCidr: string
  /** Attached to the VPC, or AWS refuses the load balancer ("VPC has no internet gateway"). */
  internetGateway: pulumi.Resource
  publicSubnetIds: pulumi.Input<string>[]
  /** How long a target that leaves keeps its sessions, in ms. */
  drainMs: number
  /** Whether AWS refuses to delete the load balancer. */
  protect: boolean
}

export class MailLoadBalancer extends pulumi.ComponentResource {
  readonly dnsName: pulumi.Output<string>
  /** For the A records of the hostname: an MX record may not point to an alias (RFC 2181 section 10.3). */
  readonly ingressIps: pulumi.Output<string>[]
  readonly targetGroupArn: pulumi.Output<string>
  readonly instanceSecurityGroupId: pulumi.Output<string>
  /** As CloudWatch's dimensions spell them. */
  readonly dimensions: { LoadBalancer: pulumi.Output<string>; TargetGroup: pulumi.Output<string> }

  constructor(name: string, args: MailLoadBalancerArgs, opts?: pulumi.ComponentResourceOptions) {
    super('mailfleet:aws:MailLoadBalancer', name, {}, opts)
    const parent = { parent: this }
    const groups = this.#securityGroups(name, args)
    const addresses = args.publicSubnetIds.map(
      (_, index) =>
        new ec2.Eip(`${name}-${index}`, { domain: 'vpc', tags: { Name: `${name}-${index}` } }, parent),
    )
    const balancer = new lb.LoadBalancer(
      name,
      {
        loadBalancerType: 'network',
        internal: false,
        // Only possible at creation: a load balancer made without one never gets one.
        securityGroups: [groups.balancer.id],
        subnetMappings: args.publicSubnetIds.map((subnetId, index) => ({
          subnetId,
          allocationId: addresses[index]!.allocationId,
        })),
        enableCrossZoneLoadBalancing: true,
        enableDeletionProtection: args.protect,
      },
      { parent: this, dependsOn: [args.internetGateway] },
    )
    const targets = this.#targetGroup(name, args)
    new lb.Listener(
      name,
      {
        loadBalancerArn: balancer.arn,
        port: SMTP_PORT,
        protocol: 'TCP',
        tcpIdleTimeoutSeconds: IDLE_SECONDS,
        defaultActions: [{ type: 'forward', targetGroupArn: targets.arn }],
      },
      parent,
    )
    this.dnsName = balancer.dnsName
    this.ingressIps = addresses.map((address) => address.publicIp)
    this.targetGroupArn = targets.arn
    this.instanceSecurityGroupId = groups.instance.id
    this.dimensions = { LoadBalancer: balancer.arnSuffix, TargetGroup: targets.arnSuffix }
    this.registerOutputs({ dnsName: this.dnsName, ingressIps: this.ingressIps })
  }

  #targetGroup(name: string, { vpcId, drainMs }: MailLoadBalancerArgs): lb.TargetGroup {
    const drainSeconds = Math.ceil(drainMs / 1000)
    return new lb.TargetGroup(
      name,
      {
        vpcId,
        port: SMTP_PORT,
        protocol: 'TCP',
        targetType: 'instance',
        // smtp-server reads no PROXY v2 header; admission and SPF need the sender's address.
        preserveClientIp: 'true',
        proxyProtocolV2: false,
        deregistrationDelay: drainSeconds,
        connectionTermination: false,
        // By default every session of a target that turns unhealthy is cut, and a draining server says it is not ready.
        targetHealthStates: [
          { enableUnhealthyConnectionTermination: false, unhealthyDrainingInterval: drainSeconds },
        ],
        healthCheck: {
          protocol: 'HTTP',
          path: READY_PATH,
          port: String(ADMIN_PORT),
          matcher: '200',
          interval: 10,
          timeout: 5,
          healthyThreshold: 2,
          unhealthyThreshold: 2,
        },
      },
      { parent: this },
    )
  }

  /**
   * Only what comes through the load balancer reaches port 25 (a rule that names its group holds with preserved client
   * addresses too), and only the VPC reaches the admin port. "Fragmentation needed" comes in from everywhere, or long
   * mail gets stuck on paths with a small MTU (Path MTU Discovery). Out go SMTP and AWS's APIs; DNS, time and metadata
   * are no concern of security groups.
   */
  #securityGroups(name: string, { vpcId, vpcCidr }: MailLoadBalancerArgs) {
    const parent = { parent: this }
    const tcp = (port: number, cidr: string) => ({
      protocol: 'tcp',
      fromPort: port,
      toPort: port,
      cidrBlocks: [cidr],
    })
    const world = '0.0.0.0/0'
    // ICMP's type stands in place of the first port, its code in place of the last.
    const tooBig = { protocol: 'icmp', fromPort: 3, toPort: 4, cidrBlocks: [world] }
    const balancer = new ec2.SecurityGroup(
      `${name}-balancer`,
      {
        vpcId,
        description: 'Mail from the world to the instances',
        ingress: [tcp(SMTP_PORT, world), tooBig],
        egress: [tcp(SMTP_PORT, vpcCidr), tcp(ADMIN_PORT, vpcCidr)],
      },
      parent,
    )
    const instance = new ec2.SecurityGroup(
      `${name}-instance`,
      {
        vpcId,
        description: 'Mail through the load balancer, admin from the VPC',
        ingress: [
          { protocol: 'tcp', fromPort: SMTP_PORT, toPort: SMTP_PORT, securityGroups: [balancer.id] },
          tcp(ADMIN_PORT, vpcCidr),
          tooBig,
        ],
        egress: [tcp(SMTP_PORT, world), tcp(443, world)],
      },
      parent,
    )
    return { balancer, instance }
  }
}
