// An AWS account that exists on paper: answers the look-ups of the Pulumi program and gives new resources ids.
// Owns: what a provider would add to a resource's inputs, as far as the program reads it. Shared by the mocks and by
// the stand-in for Pulumi's engine. Fails like the provider does where the account has not got what was asked for.

export const REGION = 'eu-west-1'
export const ACCOUNT = '123456789012'
export const IMAGE_ID = 'ami-0123456789abcdef0'
export const DIGEST = 'ab'.repeat(32)

type Properties = Record<string, unknown>

type MadeUpImage = {
  state: string
  tags: Record<string, string>
  architecture: string
  bootMode: string
  tpmSupport: string
  description: string
  /** The account that shares it; undefined for this one. */
  owner?: string
}

type MadeUpInstanceType = {
  supportedArchitectures: string[]
  bootModes: string[]
  nitroTpmSupport: 'supported' | 'unsupported'
}

const intel: MadeUpInstanceType = {
  supportedArchitectures: ['x86_64'],
  bootModes: ['legacy-bios', 'uefi'],
  nitroTpmSupport: 'supported',
}

export type Account = {
  /** Look-ups that fail, by name, and what they fail with. */
  failures: Record<string, string>
  /** SSM parameters: name to type and value. */
  parameters: Record<string, { type: string; value: string }>
  images: Record<string, MadeUpImage>
  /** What DescribeInstanceTypes says, by type. */
  instanceTypes: Record<string, MadeUpInstanceType>
  /** The account's default key for EBS, and who manages it. */
  volumeKey: { arn: string; manager: 'AWS' | 'CUSTOMER' }
  /** The key of an encrypted snapshot; undefined for an image that is not encrypted. */
  snapshotKey?: string
  zones: string[]
  /** The last question of each look-up, by name. */
  asked: Record<string, Properties>
}

/** One with an image promoted to `dev` and `prod` and all the secrets of the example stacks. */
export function madeUpAccount(): Account {
  const secret = { type: 'SecureString', value: 'AQICAHh' }
  const image = { type: 'String', value: IMAGE_ID }
  return {
    failures: {},
    parameters: {
      '/mailfleet/dev/image': image,
      '/mailfleet/prod/image': image,
      '/mailfleet/dev/srs-secrets': secret,
      '/mailfleet/prod/srs-secrets': secret,
      '/mailfleet/prod/tls-key': secret,
      '/mailfleet/prod/tls-cert': secret,
    },
    images: {
      [IMAGE_ID]: {
        state: 'available',
        tags: { 'mailfleet:digest': DIGEST, 'mailfleet:receipt': 'cd'.repeat(32) },
        architecture: 'x86_64',
        bootMode: 'uefi',
        tpmSupport: 'v2.0',
        description: `mailfleet image ${DIGEST}`,
      },
    },
    instanceTypes: {
      ...Object.fromEntries(
        ['t3.small', 't3a.small', 'c7i.large', 'c6i.large', 'm7i.large'].map((type) => [type, intel]),
      ),
      'c7g.large': { ...intel, supportedArchitectures: ['arm64'], bootModes: ['uefi'] },
      'm4.large': { ...intel, bootModes: ['legacy-bios'], nitroTpmSupport: 'unsupported' },
    },
    volumeKey: { arn: arn('kms', 'key/aws'), manager: 'AWS' },
    // Not in order, as the API makes no promise.
    zones: [`${REGION}c`, `${REGION}a`, `${REGION}b`],
    asked: {},
  }
}

/** A failed look-up as gRPC carries it: the text of a Terraform error, in several lines. */
export class ProviderError extends Error {
  readonly details: string

  constructor(token: string, cause: string) {
    super(cause)
    this.details = `invocation of ${token} returned an error: invoking ${token}: 1 error occurred:\n\t* ${cause}\n\n`
  }
}

/** A provider function's result. @throws what the provider says of something that is not there. */
export function answer(account: Account, token: string, inputs: Properties): Properties {
  const name = token.split(':').at(-1) ?? ''
  account.asked[name] = inputs
  const failure = account.failures[name]
  if (failure !== undefined) throw new ProviderError(token, failure)
  switch (name) {
    case 'getRegion':
      return { id: REGION, name: REGION, region: REGION }
    case 'getCallerIdentity':
      return { accountId: ACCOUNT, arn: `arn:aws:iam::${ACCOUNT}:user/somebody`, id: ACCOUNT }
    case 'getPartition':
      return { partition: 'aws', dnsSuffix: 'amazonaws.com', id: 'aws' }
    case 'getAvailabilityZones':
      return { names: account.zones, zoneIds: [], id: REGION }
    case 'getParameter': {
      const name = String(inputs['name'])
      const parameter = account.parameters[name]
      if (parameter === undefined)
        throw new ProviderError(token, `reading SSM Parameter (${name}): couldn't find resource`)
      return { ...parameter, name, arn: arn('ssm', `parameter${name}`), version: 1 }
    }
    case 'getAmi': {
      const [filter] = inputs['filters'] as [{ values: [string] }]
      const [imageId] = filter.values
      const image = account.images[imageId]
      const [owner] = inputs['owners'] as [string]
      if (image === undefined || (image.owner ?? 'self') !== owner)
        throw new ProviderError(
          token,
          'Your query returned no results. Please change your search criteria and try again.',
        )
      return { ...image, id: imageId, imageId, rootDeviceName: '/dev/xvda', rootSnapshotId: 'snap-1' }
    }
    case 'getInstanceType': {
      const type = account.instanceTypes[String(inputs['instanceType'])]
      if (type === undefined)
        throw new ProviderError(
          token,
          `InvalidInstanceType: ${String(inputs['instanceType'])} does not exist`,
        )
      return { ...type, ...inputs }
    }
    case 'getSnapshot':
      return { encrypted: account.snapshotKey !== undefined, kmsKeyId: account.snapshotKey ?? '' }
    case 'getDefaultKmsKey':
      return { keyArn: account.volumeKey.arn }
    case 'getKey': {
      const ofAccount = inputs['keyId'] === account.volumeKey.arn
      return { arn: inputs['keyId'], keyManager: ofAccount ? account.volumeKey.manager : 'CUSTOMER' }
    }
    default:
      throw new Error(`the made-up account knows no ${token}`)
  }
}

/** Id and state of a new resource: its inputs, and what the provider makes of them. */
export function created(type: string, name: string, inputs: Properties): { id: string; state: Properties } {
  const kind = type.split(':').at(-1) ?? ''
  const named = (inputs['name'] ?? inputs['bucket'] ?? name) as string
  const made: Record<string, Properties> = {
    Queue: { url: `https://sqs.${REGION}.amazonaws.com/${ACCOUNT}/${named}`, arn: arn('sqs', named) },
    Bucket: { bucket: named, arn: `arn:aws:s3:::${named}` },
    Table: { arn: arn('dynamodb', `table/${named}`) },
    Topic: { arn: arn('sns', named) },
    Eip: { publicIp: address(name), allocationId: `eipalloc-${name}` },
    NatGateway: { publicIp: address(name) },
    LoadBalancer: {
      arn: arn('elasticloadbalancing', `loadbalancer/net/${named}/1`),
      arnSuffix: `net/${named}/1`,
      dnsName: `${named}.elb.${REGION}.amazonaws.com`,
    },
    TargetGroup: {
      arn: arn('elasticloadbalancing', `targetgroup/${named}/1`),
      arnSuffix: `targetgroup/${named}/1`,
    },
    Function: { arn: arn('lambda', `function:${named}`) },
    LogGroup: { arn: arn('logs', `log-group:${named}`) },
    LaunchTemplate: { latestVersion: 7 },
    Group: { arn: arn('autoscaling', `autoScalingGroup:1:autoScalingGroupName/${named}`) },
  }
  const id = kind === 'Bucket' || kind === 'Group' ? named : `${kind}-${name}`
  return { id, state: { name: named, arn: arn(kind.toLowerCase(), named), ...inputs, ...made[kind] } }
}

const arn = (service: string, rest: string) => `arn:aws:${service}:${REGION}:${ACCOUNT}:${rest}`

/** Of the documentation's block (RFC 5737), the same one for the same name. */
const address = (name: string) =>
  `203.0.113.${[...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 250, 0) + 1}`
