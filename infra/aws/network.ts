// The fleet's VPC: a public and a private subnet in each zone, NAT gateways and endpoints.
// Instances are in private subnets and send through the NAT gateways' Elastic IPs. So reputation and PTR records outlive
// every instance. In a new account, outbound port 25 is closed, for NAT gateways too, until AWS opens it on request.
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as pulumi from '@pulumi/pulumi'

/** A subnet takes 2⁻⁴ of the block: 8 public and 8 private subnets. A region has at most 6 zones. */
const SUBNET_BITS = 4
const FIRST_PRIVATE = 8

export type FleetNetworkArgs = {
  region: string
  vpcCidr: string
  /** Names of availability zones. A zone's index decides its subnets. */
  zones: readonly string[]
  /** One NAT gateway in each zone, or one for all zones. */
  natPerZone: boolean
  /** Reach SQS by an interface endpoint in each zone instead of through the NAT gateways. */
  sqsEndpoint: boolean
}

export class FleetNetwork extends pulumi.ComponentResource {
  readonly vpcId: pulumi.Output<string>
  /** AWS creates internet-facing resources only once it is attached. */
  readonly internetGateway: ec2.InternetGateway
  readonly publicSubnetIds: pulumi.Output<string>[]
  readonly privateSubnetIds: pulumi.Output<string>[]
  /** Source addresses of the fleet's outbound mail. They need PTR records. */
  readonly egressIps: pulumi.Output<string>[]

  constructor(name: string, args: FleetNetworkArgs, opts?: pulumi.ComponentResourceOptions) {
    super('mailfleet:aws:Network', name, {}, opts)
    const parent = { parent: this }
    const vpc = new ec2.Vpc(
      name,
      { cidrBlock: args.vpcCidr, enableDnsHostnames: true, enableDnsSupport: true, tags: { Name: name } },
      parent,
    )
    const subnets = args.zones.map((zone, index) => {
      const blocks = subnetsOf(args.vpcCidr, index)
      const subnet = (kind: 'public' | 'private') =>
        new ec2.Subnet(
          `${name}-${kind}-${index}`,
          {
            vpcId: vpc.id,
            availabilityZone: zone,
            cidrBlock: blocks[kind],
            mapPublicIpOnLaunch: false,
            tags: { Name: `${name}-${kind}-${index}` },
          },
          parent,
        )
      return { public: subnet('public'), private: subnet('private') }
    })
    const publicSubnets = subnets.map((subnet) => subnet.public)
    this.internetGateway = this.#publicRoutes(name, vpc.id, publicSubnets)
    const natSubnets = args.natPerZone ? publicSubnets : publicSubnets.slice(0, 1)
    const nats = this.#natGateways(name, natSubnets, this.internetGateway)
    const tables = subnets.map((subnet, index) =>
      // A single NAT gateway serves all zones.
      this.#privateRoutes(`${name}-private-${index}`, vpc.id, subnet.private, nats[index] ?? nats[0]!),
    )
    this.#endpoints(name, args.region, vpc.id, tables)
    if (args.sqsEndpoint)
      this.#sqsEndpoint(
        name,
        args,
        vpc.id,
        subnets.map((subnet) => subnet.private),
      )
    this.vpcId = vpc.id
    this.publicSubnetIds = publicSubnets.map((subnet) => subnet.id)
    this.privateSubnetIds = subnets.map((subnet) => subnet.private.id)
    this.egressIps = nats.map((nat) => nat.publicIp)
    this.registerOutputs({ vpcId: this.vpcId, egressIps: this.egressIps })
  }

  #publicRoutes(name: string, vpcId: pulumi.Output<string>, subnets: ec2.Subnet[]): ec2.InternetGateway {
    const parent = { parent: this }
    const gateway = new ec2.InternetGateway(name, { vpcId, tags: { Name: name } }, parent)
    const table = new ec2.RouteTable(
      `${name}-public`,
      {
        vpcId,
        routes: [{ cidrBlock: '0.0.0.0/0', gatewayId: gateway.id }],
        tags: { Name: `${name}-public` },
      },
      parent,
    )
    for (const [index, subnet] of subnets.entries())
      new ec2.RouteTableAssociation(
        `${name}-public-${index}`,
        { subnetId: subnet.id, routeTableId: table.id },
        parent,
      )
    return gateway
  }

  #natGateways(name: string, subnets: ec2.Subnet[], gateway: ec2.InternetGateway): ec2.NatGateway[] {
    return subnets.map((subnet, index) => {
      const tags = { Name: `${name}-nat-${index}` }
      const address = new ec2.Eip(`${name}-nat-${index}`, { domain: 'vpc', tags }, { parent: this })
      return new ec2.NatGateway(
        `${name}-nat-${index}`,
        { allocationId: address.allocationId, subnetId: subnet.id, tags },
        { parent: this, dependsOn: [gateway] },
      )
    })
  }

  #privateRoutes(
    name: string,
    vpcId: pulumi.Output<string>,
    subnet: ec2.Subnet,
    nat: ec2.NatGateway,
  ): ec2.RouteTable {
    const parent = { parent: this }
    const routes = [{ cidrBlock: '0.0.0.0/0', natGatewayId: nat.id }]
    const table = new ec2.RouteTable(name, { vpcId, routes, tags: { Name: name } }, parent)
    new ec2.RouteTableAssociation(name, { subnetId: subnet.id, routeTableId: table.id }, parent)
    return table
  }

  /** S3 and DynamoDB bypass the NAT gateways, which charge by the byte. Gateway endpoints are free. */
  #endpoints(name: string, region: string, vpcId: pulumi.Output<string>, tables: ec2.RouteTable[]): void {
    for (const service of ['s3', 'dynamodb'])
      new ec2.VpcEndpoint(
        `${name}-${service}`,
        {
          vpcId,
          serviceName: `com.amazonaws.${region}.${service}`,
          vpcEndpointType: 'Gateway',
          routeTableIds: tables.map((table) => table.id),
        },
        { parent: this },
      )
  }

  /**
   * AWS charges it by hour and zone, and by the byte at a fifth of a NAT gateway's price: docs/aws.md has the break-even.
   * Private DNS gives SQS's own name the endpoint's addresses, so instances need no setting.
   */
  #sqsEndpoint(
    name: string,
    args: FleetNetworkArgs,
    vpcId: pulumi.Output<string>,
    subnets: ec2.Subnet[],
  ): void {
    const parent = { parent: this }
    const group = new ec2.SecurityGroup(
      `${name}-sqs`,
      {
        vpcId,
        description: 'SQS for the instances',
        ingress: [{ protocol: 'tcp', fromPort: 443, toPort: 443, cidrBlocks: [args.vpcCidr] }],
      },
      parent,
    )
    new ec2.VpcEndpoint(
      `${name}-sqs`,
      {
        vpcId,
        serviceName: `com.amazonaws.${args.region}.sqs`,
        vpcEndpointType: 'Interface',
        privateDnsEnabled: true,
        subnetIds: subnets.map((subnet) => subnet.id),
        securityGroupIds: [group.id],
      },
      parent,
    )
  }
}

/**
 * The public and the private subnet of a zone. They depend on the zone's index only: adding a zone moves no other subnet.
 * @param vpcCidr an IPv4 block such as 10.20.0.0/16, checked by stack-config.ts
 * @param zone 0 to 7
 */
export function subnetsOf(vpcCidr: string, zone: number): { public: string; private: string } {
  const [address = '', prefix = ''] = vpcCidr.split('/')
  const first = address.split('.').reduce((number, part) => number * 256 + Number(part), 0)
  const length = Number(prefix) + SUBNET_BITS
  const block = (index: number) => `${dotted(first + index * 2 ** (32 - length))}/${length}`
  return { public: block(zone), private: block(FIRST_PRIVATE + zone) }
}

const dotted = (number: number) =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')
