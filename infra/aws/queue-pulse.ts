// The queue pulse in an account: a small function outside the group, its schedule, and the alarms on what it says.
// Owns: the function's role (exactly its calls), code, log and time. Fails with the bundler's error when the code
// cannot be built. Neither the schedule nor Lambda repeats an invocation: the next one comes anyway, and an old one would
// measure the wrong moment.
import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import * as iam from '@pulumi/aws/iam/index.js'
import * as lambda from '@pulumi/aws/lambda/index.js'
import * as scheduler from '@pulumi/aws/scheduler/index.js'
import * as pulumi from '@pulumi/pulumi'
import { BUNDLE_FILE, BUNDLE_HANDLER, writePulseBundle } from '../lambda/bundle.ts'
import { fleetMetric, METRIC_NAMESPACE } from '../../contract/metric-names.ts'
import { INVOCATION_MS, INVOCATIONS_AT_ONCE } from '../../contract/pulse-slots.ts'
import type { ScalingPolicy } from '../scaling/policy.ts'
import { LOAD_PARTITION } from '../../contract/load-report.ts'

/** The function holds 90 MB; Lambda gives processor time by memory, and four TLS handshakes have to fit in a slot. */
const MEMORY_MB = 256
const LOG_DAYS = 14

type Queue = { url: pulumi.Input<string>; arn: pulumi.Input<string> }

export type QueuePulseArgs = {
  fleetName: pulumi.Input<string>
  groupName: pulumi.Input<string>
  policy: ScalingPolicy
  ready: Queue
  deferred: Queue
  /** Where instances report their load. */
  table: { name: pulumi.Input<string>; arn: pulumi.Input<string> }
  /** Of the SNS topic that the alarms go to. */
  topicArn: pulumi.Input<string>
  /** Invocations kept free for the pulse, so that no other function starves it; −1 for none, where the account has too few to reserve any. */
  reservedConcurrency?: number
}

export class QueuePulse extends pulumi.ComponentResource {
  readonly functionName: pulumi.Output<string>

  constructor(name: string, args: QueuePulseArgs, opts?: pulumi.ComponentResourceOptions) {
    super('mailfleet:aws:QueuePulse', name, {}, opts)
    const pulse = this.#function(name, args)
    this.#schedule(name, pulse, args)
    this.#alarms(name, args)
    this.functionName = pulse.name
    this.registerOutputs({ functionName: this.functionName })
  }

  #function(name: string, args: QueuePulseArgs): lambda.Function {
    const logs = new cloudwatch.LogGroup(name, { retentionInDays: LOG_DAYS }, { parent: this })
    const role = this.#role(name, 'lambda.amazonaws.com')
    const rights = new iam.RolePolicy(
      name,
      { role: role.name, policy: policyOf(pulseStatements(args, logs.arn)) },
      { parent: this },
    )
    const pulse = new lambda.Function(
      name,
      {
        description: 'Publishes the mail fleet’s demand every 10 s',
        runtime: 'nodejs24.x',
        architectures: ['arm64'],
        handler: BUNDLE_HANDLER,
        code: new pulumi.asset.AssetArchive({
          [BUNDLE_FILE]: new pulumi.asset.FileAsset(writePulseBundle()),
        }),
        memorySize: MEMORY_MB,
        timeout: INVOCATION_MS / 1000,
        reservedConcurrentExecutions: args.reservedConcurrency ?? INVOCATIONS_AT_ONCE,
        role: role.arn,
        loggingConfig: { logFormat: 'Text', logGroup: logs.name },
        environment: {
          variables: {
            FLEET: args.fleetName,
            GROUP: args.groupName,
            READY_URL: args.ready.url,
            DEFERRED_URL: args.deferred.url,
            TABLE: args.table.name,
            POLICY: JSON.stringify(args.policy),
          },
        },
      },
      { parent: this, dependsOn: [rights] },
    )
    // The schedule invokes asynchronously, and of such events Lambda keeps and repeats what failed or was throttled.
    new lambda.FunctionEventInvokeConfig(
      name,
      { functionName: pulse.name, maximumRetryAttempts: 0, maximumEventAgeInSeconds: 60 },
      { parent: this },
    )
    return pulse
  }

  #schedule(name: string, pulse: lambda.Function, args: QueuePulseArgs): void {
    // Nobody else's schedule may use it ("The confused deputy problem"). An ARN's fifth field is its account.
    const account = pulumi.output(args.ready.arn).apply((arn) => arn.split(':')[4] ?? '')
    const role = this.#role(`${name}-schedule`, 'scheduler.amazonaws.com', {
      StringEquals: { 'aws:SourceAccount': account },
    })
    const rights = new iam.RolePolicy(
      `${name}-schedule`,
      { role: role.name, policy: policyOf([allow(['lambda:InvokeFunction'], pulse.arn)]) },
      { parent: this },
    )
    new scheduler.Schedule(
      name,
      {
        description: 'The queue pulse, once a minute; the function works the slots of 10 s',
        scheduleExpression: 'rate(1 minute)',
        flexibleTimeWindow: { mode: 'OFF' },
        target: {
          arn: pulse.arn,
          roleArn: role.arn,
          input: '{}',
          retryPolicy: { maximumRetryAttempts: 0, maximumEventAgeInSeconds: 60 },
        },
      },
      { parent: this, dependsOn: [rights] },
    )
  }

  /** A role that one AWS service may take, under a condition. */
  #role(name: string, service: string, condition?: object): iam.Role {
    const trust = { Effect: 'Allow', Principal: { Service: service }, Action: 'sts:AssumeRole' }
    const assumeRolePolicy = pulumi.jsonStringify({
      Version: '2012-10-17',
      Statement: [condition === undefined ? trust : { ...trust, Condition: condition }],
    })
    return new iam.Role(name, { assumeRolePolicy }, { parent: this })
  }

  /** Each says what to do. The pulse's own silence is the one thing that its metrics cannot say: missing is breaching. */
  #alarms(name: string, { fleetName, topicArn }: QueuePulseArgs): void {
    const actions = { alarmActions: [topicArn], okActions: [topicArn] }
    const alarm = (suffix: string, args: cloudwatch.MetricAlarmArgs) =>
      new cloudwatch.MetricAlarm(`${name}-${suffix}`, { ...args, ...actions }, { parent: this })
    alarm('stale', {
      alarmDescription: 'The queue pulse has been silent for 3 minutes: look at its errors and its schedule.',
      ...fleetMetric(fleetName, 'PulseFailed'),
      statistic: 'SampleCount',
      period: 60,
      evaluationPeriods: 3,
      threshold: 1,
      comparisonOperator: 'LessThanThreshold',
      treatMissingData: 'breaching',
      // A new fleet's pulse has not spoken yet; the alarm begins as soon as it has.
      warmUpConfiguration: { warmUpPeriodDurationInMinutes: 5 },
    })
    alarm('failed', {
      alarmDescription: 'The queue pulse cannot measure: its log says what it could not read.',
      ...fleetMetric(fleetName, 'PulseFailed'),
      statistic: 'Average',
      period: 60,
      evaluationPeriods: 3,
      threshold: 0.5,
      comparisonOperator: 'GreaterThanOrEqualToThreshold',
      treatMissingData: 'notBreaching',
    })
    alarm('refused-fault', {
      alarmDescription:
        'Instances refuse mail because something is full or broken: more of them would not help. Their logs say what.',
      ...fleetMetric(fleetName, 'RefusedForFault'),
      statistic: 'Maximum',
      period: 60,
      evaluationPeriods: 1,
      threshold: 0,
      comparisonOperator: 'GreaterThanThreshold',
      treatMissingData: 'notBreaching',
    })
    alarm('unknown-version', {
      alarmDescription: 'The queue holds entries of a version that instances do not know: roll forward.',
      ...fleetMetric(fleetName, 'UnknownVersion'),
      statistic: 'Maximum',
      period: 60,
      evaluationPeriods: 1,
      threshold: 0,
      comparisonOperator: 'GreaterThanThreshold',
      treatMissingData: 'notBreaching',
    })
  }
}

type Statement = {
  Effect: 'Allow'
  Action: string[]
  Resource: pulumi.Input<string>[]
  Condition?: Record<string, Record<string, string | string[]>>
}

function allow(actions: string[], ...resources: pulumi.Input<string>[]): Statement {
  return { Effect: 'Allow', Action: actions, Resource: resources }
}

function policyOf(statements: Statement[]): pulumi.Output<string> {
  return pulumi.jsonStringify({ Version: '2012-10-17', Statement: statements })
}

/** The calls of infra/pulse/, no more. Two of them know no resource; PutMetricData knows its namespace. */
function pulseStatements(args: QueuePulseArgs, logArn: pulumi.Input<string>): Statement[] {
  return [
    allow(['sqs:GetQueueAttributes'], args.ready.arn, args.deferred.arn),
    {
      ...allow(['dynamodb:Query'], args.table.arn),
      Condition: { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': [LOAD_PARTITION] } },
    },
    allow(['autoscaling:DescribeAutoScalingGroups'], '*'),
    {
      ...allow(['cloudwatch:PutMetricData'], '*'),
      Condition: { StringEquals: { 'cloudwatch:namespace': METRIC_NAMESPACE } },
    },
    allow(['logs:CreateLogStream', 'logs:PutLogEvents'], pulumi.interpolate`${logArn}:*`),
  ]
}
