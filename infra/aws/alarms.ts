// Alarms that watch the fleet from outside, and the SNS topic that receives all alarms of the fleet.
// Owns: alarms on waiting mail, on the load balancer's targets and on failed launches. The alarms on the pulse's metrics
// are in queue-pulse.ts and queue-scaling.ts.
import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import * as sns from '@pulumi/aws/sns/index.js'
import * as pulumi from '@pulumi/pulumi'

/** Age of the oldest ready message. By then the senders' own monitoring would notice. */
const OLDEST_READY_SECONDS = 900

/** Alarms exist before the group that they watch. They wait for its first metrics. */
const WAIT_FOR_GROUP = { warmUpPeriodDurationInMinutes: 20 }

export type AlarmsArgs = {
  fleetName: string
  /** Receives a mail for each alarm. */
  email: string | undefined
  minInstances: number
  deadLettersName: pulumi.Input<string>
  readyName: pulumi.Input<string>
  /** CloudWatch's dimensions of the load balancer and its target group. */
  targets: { LoadBalancer: pulumi.Input<string>; TargetGroup: pulumi.Input<string> }
}

type AlarmArgs = Omit<cloudwatch.MetricAlarmArgs, 'alarmActions' | 'okActions'>

export class Alarms extends pulumi.ComponentResource {
  readonly topicArn: pulumi.Output<string>
  /** Names of the alarms that roll back a rollout. */
  readonly rolloutAlarmNames: pulumi.Output<string>[]

  constructor(name: string, args: AlarmsArgs, opts?: pulumi.ComponentResourceOptions) {
    super('mailfleet:aws:Alarms', name, {}, opts)
    const topic = new sns.Topic(name, {}, { parent: this })
    this.topicArn = topic.arn
    if (args.email !== undefined)
      new sns.TopicSubscription(
        `${name}-email`,
        { topic: topic.arn, protocol: 'email', endpoint: args.email },
        { parent: this },
      )
    this.#mail(name, args)
    this.#launches(name, args)
    this.rolloutAlarmNames = [this.#targets(name, args).name]
    this.registerOutputs({ topicArn: this.topicArn })
  }

  #alarm(name: string, args: AlarmArgs): cloudwatch.MetricAlarm {
    const actions = [this.topicArn]
    return new cloudwatch.MetricAlarm(
      name,
      { ...args, alarmActions: actions, okActions: actions },
      { parent: this },
    )
  }

  #mail(name: string, { deadLettersName, readyName }: AlarmsArgs): void {
    this.#alarm(`${name}-dead-letters`, {
      alarmDescription: 'The dead-letter queue holds mail that no instance could process.',
      namespace: 'AWS/SQS',
      metricName: 'ApproximateNumberOfMessagesVisible',
      dimensions: { QueueName: deadLettersName },
      statistic: 'Maximum',
      period: 60,
      evaluationPeriods: 1,
      threshold: 0,
      comparisonOperator: 'GreaterThanThreshold',
      // SQS stops publishing metrics of an unused queue.
      treatMissingData: 'notBreaching',
    })
    this.#alarm(`${name}-oldest-ready`, {
      alarmDescription: `Mail that is due has waited more than ${OLDEST_READY_SECONDS / 60} minutes.`,
      namespace: 'AWS/SQS',
      metricName: 'ApproximateAgeOfOldestMessage',
      dimensions: { QueueName: readyName },
      statistic: 'Maximum',
      period: 60,
      evaluationPeriods: 5,
      threshold: OLDEST_READY_SECONDS,
      comparisonOperator: 'GreaterThanThreshold',
      treatMissingData: 'notBreaching',
    })
  }

  /** When launches keep failing, the group stays below its minimum, whatever its desired capacity. */
  #launches(name: string, { fleetName, minInstances }: AlarmsArgs): void {
    this.#alarm(`${name}-below-minimum`, {
      alarmDescription: `Fewer than ${minInstances} instances have been in service for 10 minutes: launches fail.`,
      namespace: 'AWS/AutoScaling',
      metricName: 'GroupInServiceInstances',
      dimensions: { AutoScalingGroupName: fleetName },
      statistic: 'Maximum',
      period: 60,
      evaluationPeriods: 10,
      threshold: minInstances,
      comparisonOperator: 'LessThanThreshold',
      treatMissingData: 'breaching',
      warmUpConfiguration: WAIT_FOR_GROUP,
    })
  }

  /**
   * When no target is ready, SQS or the network may be at fault: that alarm only notifies. When some are ready and some
   * are not, the instances are at fault: that alarm rolls back a rollout. Neither alarm replaces an instance; the group
   * uses EC2's health checks.
   */
  #targets(name: string, { targets }: AlarmsArgs): cloudwatch.MetricAlarm {
    const metric = (metricName: string) => ({
      namespace: 'AWS/NetworkELB',
      metricName,
      dimensions: targets,
      stat: 'Maximum',
      period: 60,
    })
    this.#alarm(`${name}-no-target`, {
      alarmDescription: 'No instance is ready to accept mail.',
      namespace: 'AWS/NetworkELB',
      metricName: 'HealthyHostCount',
      dimensions: targets,
      statistic: 'Maximum',
      period: 60,
      evaluationPeriods: 3,
      threshold: 1,
      comparisonOperator: 'LessThanThreshold',
      treatMissingData: 'breaching',
      warmUpConfiguration: WAIT_FOR_GROUP,
    })
    return this.#alarm(`${name}-some-targets`, {
      alarmDescription: 'Some instances are ready to accept mail and others are not.',
      metricQueries: [
        { id: 'ready', metric: metric('HealthyHostCount') },
        { id: 'unready', metric: metric('UnHealthyHostCount') },
        { id: 'some', expression: 'IF(ready > 0, unready, 0)', label: 'not ready', returnData: true },
      ],
      evaluationPeriods: 3,
      threshold: 0,
      comparisonOperator: 'GreaterThanThreshold',
      treatMissingData: 'notBreaching',
    })
  }
}
