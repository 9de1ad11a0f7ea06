// What an instance may do: the calls that the server makes, on this fleet's resources, and nothing else.
// Owns: the role, its one policy and the instance profile. A call that is missing here shows as AccessDenied in the
// server's log and 4xx to its senders, never as lost mail.
import * as iam from '@pulumi/aws/iam/index.js'
import * as pulumi from '@pulumi/pulumi'
import { BODIES_PREFIX, ROUTES_KEY } from '../../contract/storage-names.ts'

export type InstanceRoleArgs = {
  region: string
  accountId: string
  /** Of AWS's ARNs: aws, aws-cn, aws-us-gov. */
  partition: string
  /** The group's name. */
  fleetName: string
  queueArns: pulumi.Input<string>[]
  bucketArn: pulumi.Input<string>
  tableArn: pulumi.Input<string>
  /** Names of the SSM parameters that instances read. */
  parameters: readonly string[]
}

export class InstanceRole extends pulumi.ComponentResource {
  readonly profileArn: pulumi.Output<string>

  constructor(name: string, args: InstanceRoleArgs, opts?: pulumi.ComponentResourceOptions) {
    super('mailfleet:aws:InstanceRole', name, {}, opts)
    const parent = { parent: this }
    const role = new iam.Role(
      name,
      {
        description: 'An instance of the mail fleet',
        assumeRolePolicy: pulumi.jsonStringify({
          Version: '2012-10-17',
          Statement: [
            { Effect: 'Allow', Principal: { Service: 'ec2.amazonaws.com' }, Action: 'sts:AssumeRole' },
          ],
        }),
      },
      parent,
    )
    new iam.RolePolicy(
      name,
      {
        role: role.name,
        policy: pulumi.jsonStringify({ Version: '2012-10-17', Statement: statements(args) }),
      },
      parent,
    )
    const profile = new iam.InstanceProfile(name, { role: role.name }, parent)
    this.profileArn = profile.arn
    this.registerOutputs({ profileArn: this.profileArn })
  }
}

function statements(args: InstanceRoleArgs) {
  const arn = (service: string, rest: string) =>
    `arn:${args.partition}:${service}:${args.region}:${args.accountId}:${rest}`
  const parameterArns = args.parameters.map((name) => arn('ssm', `parameter${name}`))
  const allow = (sid: string, actions: string[], resources: pulumi.Input<string>[]) => ({
    Sid: sid,
    Effect: 'Allow',
    Action: actions,
    Resource: resources,
  })
  return [
    allow(
      'Queues',
      [
        'sqs:SendMessage',
        'sqs:ReceiveMessage',
        'sqs:DeleteMessage',
        'sqs:ChangeMessageVisibility',
        'sqs:GetQueueAttributes',
      ],
      args.queueArns,
    ),
    allow(
      'Bodies',
      ['s3:GetObject', 's3:PutObject', 's3:DeleteObject'],
      [pulumi.interpolate`${args.bucketArn}/${BODIES_PREFIX}*`],
    ),
    allow('Routes', ['s3:GetObject'], [pulumi.interpolate`${args.bucketArn}/${ROUTES_KEY}`]),
    allow(
      'State',
      // Nothing is deleted: what is settled, the table's ttl takes.
      ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:UpdateItem'],
      [args.tableArn],
    ),
    allow('Secrets', ['ssm:GetParameter'], parameterArns),
    {
      ...allow('SecretsKey', ['kms:Decrypt'], [arn('kms', 'key/*')]),
      // Whichever key the parameters are under, only for them and only through SSM.
      Condition: {
        StringEquals: {
          'kms:ViaService': `ssm.${args.region}.amazonaws.com`,
          'kms:EncryptionContext:PARAMETER_ARN': parameterArns,
        },
      },
    },
    allow(
      'Lifecycle',
      ['autoscaling:CompleteLifecycleAction', 'autoscaling:RecordLifecycleActionHeartbeat'],
      [arn('autoscaling', `autoScalingGroup:*:autoScalingGroupName/${args.fleetName}`)],
    ),
    // Knows no resource level (Service Authorization Reference, Amazon EC2 Auto Scaling).
    allow('OwnState', ['autoscaling:DescribeAutoScalingInstances'], ['*']),
  ]
}
