// The queue pulse as AWS resources: its Lambda function, and the alarms on its metrics.
// Owns: the function's permissions (exactly its calls), its environment, and those alarms.
import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import * as pulumi from '@pulumi/pulumi'
import { join } from 'node:path'
import { LOAD_PARTITION } from '../../contract/load-report.ts'
import { fleetMetric, METRIC_NAMESPACE } from '../../contract/metric-names.ts'
import { INVOCATION_MS, INVOCATIONS_AT_ONCE } from '../../contract/pulse-slots.ts'
import { allow, type PolicyStatement } from '../iam-policy.ts'
import { writeLambdaBundle } from '../lambda/bundle.ts'
import { ScheduledFunction } from '../lambda/scheduled-function.ts'
import type { ScalingPolicy } from '../scaling/policy.ts'

const HANDLER_FILE = join(import.meta.dirname, '../pulse/handler.ts')

/** The function uses 90 MB. Four TLS handshakes must fit in a slot, and Lambda gives CPU time by memory. */
const MEMORY_MB = 256

type PulsedQueue = { url: pulumi.Input<string>; arn: pulumi.Input<string> }

export type QueuePulseArgs = {
  fleetName: pulumi.Input<string>
  groupName: pulumi.Input<string>
  policy: ScalingPolicy
  ready: PulsedQueue
  deferred: PulsedQueue
  /** The table with the load reports. */
  table: { name: pulumi.Input<string>; arn: pulumi.Input<string> }
  /** ARN of the SNS topic that receives the alarms. */
  topicArn: pulumi.Input<string>
  /** Whether to reserve concurrency, so that no other function starves the pulse. A new account has too little. */
  reservesConcurrency: boolean
}

export class QueuePulse extends ScheduledFunction {
  constructor(name: string, args: QueuePulseArgs, opts?: pulumi.ComponentResourceOptions) {
    super(
      'mailfleet:aws:QueuePulse',
      name,
      {
        description: 'Publishes the mail fleet’s demand every 10 s',
        scheduleDescription: 'The queue pulse, once a minute; the function works the slots of 10 s',
        bundleFile: writeLambdaBundle('pulse', HANDLER_FILE),
        memoryMB: MEMORY_MB,
        timeoutMs: INVOCATION_MS,
        reservedConcurrency: args.reservesConcurrency ? INVOCATIONS_AT_ONCE : -1,
        environment: {
          FLEET: args.fleetName,
          GROUP: args.groupName,
          READY_URL: args.ready.url,
          DEFERRED_URL: args.deferred.url,
          TABLE: args.table.name,
          POLICY: JSON.stringify(args.policy),
        },
        statements: pulseStatements(args),
        accountId: pulumi.output(args.ready.arn).apply(accountOfArn),
      },
      opts,
    )
    this.#alarms(name, args)
    this.registerOutputs({ functionName: this.functionName })
  }

  #alarms(name: string, { fleetName, topicArn }: QueuePulseArgs): void {
    const actions = { alarmActions: [topicArn], okActions: [topicArn] }
    const alarm = (suffix: string, args: cloudwatch.MetricAlarmArgs) =>
      new cloudwatch.MetricAlarm(`${name}-${suffix}`, { ...args, ...actions }, { parent: this })
    // No metric can report that the pulse is silent. So missing data breaches here.
    alarm('stale', {
      alarmDescription: 'The queue pulse has been silent for 3 minutes: look at its errors and its schedule.',
      ...fleetMetric(fleetName, 'PulseFailed'),
      statistic: 'SampleCount',
      period: 60,
      evaluationPeriods: 3,
      threshold: 1,
      comparisonOperator: 'LessThanThreshold',
      treatMissingData: 'breaching',
      // In a new fleet the alarm waits for the first sample, at most 5 minutes.
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
    const anySample = {
      statistic: 'Maximum',
      period: 60,
      evaluationPeriods: 1,
      threshold: 0,
      comparisonOperator: 'GreaterThanThreshold',
      treatMissingData: 'notBreaching',
    }
    alarm('refused-fault', {
      alarmDescription:
        'Instances refuse mail because something is full or broken. More instances do not help. The instances’ logs name the fault.',
      ...fleetMetric(fleetName, 'RefusedForFault'),
      ...anySample,
    })
    alarm('unknown-version', {
      alarmDescription: 'The queue holds entries of a version that the instances do not know: roll forward.',
      ...fleetMetric(fleetName, 'UnknownVersion'),
      ...anySample,
    })
  }
}

/** arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE */
function accountOfArn(arn: string): string {
  return arn.split(':')[4] ?? ''
}

/**
 * The calls of infra/pulse/ and no others. Two of them have no resource level in IAM; PutMetricData is limited to our
 * namespace by a condition.
 */
function pulseStatements(args: QueuePulseArgs): PolicyStatement[] {
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
  ]
}
