// A fake AWS account in memory: it answers the Pulumi program's look-ups and gives new resources ids and outputs.
// The mocks and the fake engine share it. A look-up of a missing thing fails with the provider's error.

export const REGION = 'eu-west-1'
export const ACCOUNT = '123456789012'
export const IMAGE_ID = 'ami-0123456789abcdef0'
export const DIGEST = 'ab'.repeat(32)

type Properties = Record<string, unknown>

type FakeAccountImage = {
  state: string
  tags: Record<string, string>
  architecture: string
  bootMode: string
  tpmSupport: string
  description: string
  /** The account that shares it; undefined for this account. */
  owner?: string
}

type FakeInstanceType = {
  supportedArchitectures: string[]
  bootModes: string[]
  nitroTpmSupport: 'supported' | 'unsupported'
}

const intel: FakeInstanceType = {
  supportedArchitectures: ['x86_64'],
  bootModes: ['legacy-bios', 'uefi'],
  nitroTpmSupport: 'supported',
}

export type Account = {
  /** Errors of look-ups that must fail, by name. */
  failures: Record<string, string>
  /** SSM parameters: name to type and value. */
  parameters: Record<string, { type: string; value: string }>
  images: Record<string, FakeAccountImage>
  /** Answers of DescribeInstanceTypes, by type. */
  instanceTypes: Record<string, FakeInstanceType>
  /** The account's default EBS key, and who manages it. */
  volumeKey: { arn: string; manager: 'AWS' | 'CUSTOMER' }
  /** The key of the image's snapshot; undefined when it is not encrypted. */
  snapshotKey?: string
  zones: string[]
  /** The arguments of the last look-up, by name. */
  asked: Record<string, Properties>
}

/** An account with an image promoted to `dev` and `prod`, and with all secrets of the example stacks. */
export function fakeAccount(): Account {
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
    // Unsorted: the API promises no order.
    zones: [`${REGION}c`, `${REGION}a`, `${REGION}b`],
    asked: {},
  }
}

/** A failed look-up in gRPC's form: a Terraform error as text of several lines. */
export class ProviderError extends Error {
  readonly details: string

  constructor(token: string, cause: string) {
    super(cause)
    this.details = `invocation of ${token} returned an error: invoking ${token}: 1 error occurred:\n\t* ${cause}\n\n`
  }
}

/** The result of a provider function. @throws {ProviderError} when the account lacks what it looks up */
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
      throw new Error(`the fake account has no look-up ${token}`)
  }
}

/** Id and state of a new resource: its inputs and the outputs of a provider. */
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

/** An address of the documentation block (RFC 5737). Equal names give equal addresses. */
const address = (name: string) =>
  `203.0.113.${[...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 250, 0) + 1}`
