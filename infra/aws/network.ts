// Where a fleet lives: a VPC with a public and a private subnet in each zone, and fixed addresses to the outside.
// Owns: routes, NAT gateways and the gateway endpoints. Instances are in private subnets only; what they send leaves by
// the NAT gateways' Elastic IPs, so that reputation and PTR records outlive every instance.
// Outbound port 25 is closed in a new account, for NAT gateways too, until AWS opens it on request.
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as pulumi from '@pulumi/pulumi'
import { subnetsOf } from './subnets.ts'

export type FleetNetworkArgs = {
  region: string
  vpcCidr: string
  /** Names of availability zones. A zone's place in the list is its identity. */
  zones: readonly string[]
  /** A NAT gateway in every zone, or one for all. */
  natPerZone: boolean
  /** Whether SQS is reached by an interface endpoint in every zone instead of by the NAT gateways. */
  sqsEndpoint: boolean
}

export class FleetNetwork extends pulumi.ComponentResource {
  readonly vpcId: pulumi.Output<string>
  /** What faces the internet can only be made once this is attached. */
  readonly internetGateway: ec2.InternetGateway
  readonly publicSubnetIds: pulumi.Output<string>[]
  readonly privateSubnetIds: pulumi.Output<string>[]
  /** From where receivers see the fleet's mail come: these need PTR records. */
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
      // With one NAT gateway for all, the first serves every zone.
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

  /** Bodies and state bypass the NAT gateways, which charge for every byte; gateway endpoints are free. */
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
   * Charged by the hour and zone, and by the byte at a fifth of the NAT gateway's price: docs/aws.md has the break-even.
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
