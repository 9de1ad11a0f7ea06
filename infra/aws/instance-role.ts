// The permissions of an instance: the AWS calls that the server makes, on this fleet's resources, and no others.
// Owns: the role, its one policy and the instance profile. A missing permission shows as AccessDenied in the server's log
// and as 4xx to senders; no mail is lost.
import * as iam from '@pulumi/aws/iam/index.js'
import * as pulumi from '@pulumi/pulumi'
import { allow, policyDocument, trustPolicy, type PolicyStatement } from '../iam-policy.ts'
import { BODIES_PREFIX, ROUTES_KEY } from '../../contract/storage-names.ts'

export type InstanceRoleArgs = {
  region: string
  accountId: string
  /** First part of AWS's ARNs: aws, aws-cn or aws-us-gov. */
  partition: string
  /** The Auto Scaling group's name. */
  fleetName: string
  queueArns: pulumi.Input<string>[]
  bucketArn: pulumi.Input<string>
  tableArn: pulumi.Input<string>
  /** Names of the SSM parameters that the instances read. */
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
        assumeRolePolicy: trustPolicy('ec2.amazonaws.com'),
      },
      parent,
    )
    new iam.RolePolicy(name, { role: role.name, policy: policyDocument(instanceStatements(args)) }, parent)
    const profile = new iam.InstanceProfile(name, { role: role.name }, parent)
    this.profileArn = profile.arn
    this.registerOutputs({ profileArn: this.profileArn })
  }
}

function instanceStatements(args: InstanceRoleArgs): PolicyStatement[] {
  const arn = (service: string, rest: string) =>
    `arn:${args.partition}:${service}:${args.region}:${args.accountId}:${rest}`
  const named = (Sid: string, actions: string[], resources: pulumi.Input<string>[]): PolicyStatement => ({
    Sid,
    ...allow(actions, ...resources),
  })
  const parameterArns = args.parameters.map((name) => arn('ssm', `parameter${name}`))
  return [
    named(
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
    named(
      'Bodies',
      ['s3:GetObject', 's3:PutObject', 's3:DeleteObject'],
      [pulumi.interpolate`${args.bucketArn}/${BODIES_PREFIX}*`],
    ),
    named('Routes', ['s3:GetObject'], [pulumi.interpolate`${args.bucketArn}/${ROUTES_KEY}`]),
    // No DeleteItem: the table's ttl deletes items.
    named('State', ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:UpdateItem'], [args.tableArn]),
    named('Secrets', ['ssm:GetParameter'], parameterArns),
    {
      ...named('SecretsKey', ['kms:Decrypt'], [arn('kms', 'key/*')]),
      // Any key, but only for these parameters and only through SSM.
      Condition: {
        StringEquals: {
          'kms:ViaService': `ssm.${args.region}.amazonaws.com`,
          'kms:EncryptionContext:PARAMETER_ARN': parameterArns,
        },
      },
    },
    named(
      'Lifecycle',
      ['autoscaling:CompleteLifecycleAction', 'autoscaling:RecordLifecycleActionHeartbeat'],
      [arn('autoscaling', `autoScalingGroup:*:autoScalingGroupName/${args.fleetName}`)],
    ),
    // This action has no resource level (Service Authorization Reference, Amazon EC2 Auto Scaling).
    named('OwnState', ['autoscaling:DescribeAutoScalingInstances'], ['*']),
  ]
}
