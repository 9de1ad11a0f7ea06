// The fleet's entrance: a Network Load Balancer on TCP 25 with an Elastic IP in each zone. Servers see the senders' own
// addresses. Owns: listener, target group and both security groups.
// A drain resets no connection: a target keeps its sessions while it deregisters or is not ready.
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as lb from '@pulumi/aws/lb/index.js'
import * as pulumi from '@pulumi/pulumi'
import { READY_PATH } from '../../contract/admin-paths.ts'
import { ADMIN_PORT, SMTP_PORT } from '../../contract/ports.ts'

/** A sender may wait 10 minutes for the reply to its final dot (RFC 5321 section 4.5.3.2.6). One minute is reserve. */
const IDLE_SECONDS = 660

export type MailLoadBalancerArgs = {
  vpcId: pulumi.Input<string>
  vpcCidr: string
  /** AWS refuses the load balancer until it is attached to the VPC ("VPC has no internet gateway"). */
  internetGateway: pulumi.Resource
  publicSubnetIds: pulumi.Input<string>[]
  /** How long a deregistering target keeps its sessions. */
  drainMs: number
  /** Turns on AWS's deletion protection. */
  protect: boolean
}

export class MailLoadBalancer extends pulumi.ComponentResource {
  readonly dnsName: pulumi.Output<string>
  /** For the hostname's A records: an MX record may not point to an alias (RFC 2181 section 10.3). */
  readonly ingressIps: pulumi.Output<string>[]
  readonly targetGroupArn: pulumi.Output<string>
  readonly instanceSecurityGroupId: pulumi.Output<string>
  /** The dimensions of its CloudWatch metrics. */
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
        // AWS accepts security groups only if the load balancer was created with one.
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
        // Admission and SPF need the sender's address, and smtp-server reads no PROXY v2 header.
        preserveClientIp: 'true',
        proxyProtocolV2: false,
        deregistrationDelay: drainSeconds,
        connectionTermination: false,
        // By default AWS cuts all sessions of an unhealthy target, and a draining server reports not ready.
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
   * Only the load balancer reaches port 25: a rule that names its group also works with preserved client addresses. Only
   * the VPC reaches the admin port. "Fragmentation needed" is accepted from everywhere, or long mail gets stuck on paths
   * with a small MTU (Path MTU Discovery). Instances may send SMTP and HTTPS, for AWS's APIs. Security groups do not
   * filter DNS, NTP and instance metadata.
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
    // For ICMP, fromPort is the type and toPort the code.
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
