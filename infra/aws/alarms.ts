// Whom a fleet calls, and when: one SNS topic, and the alarms that look at the fleet from outside.
// Owns: the topic and the alarms on mail that waits or is stuck, on the load balancer's targets and on launches. The
// signal's own alarms are queue-pulse.ts's and queue-scaling.ts's.
import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import * as sns from '@pulumi/aws/sns/index.js'
import * as pulumi from '@pulumi/pulumi'

/** Of standing in the ready queue: by then senders' own monitoring would notice. */
const OLDEST_READY_SECONDS = 900

/** Alarms are there before the group that they are about: until it says something, its silence is no alarm. */
const UNTIL_MADE = { warmUpPeriodDurationInMinutes: 20 }

export type AlarmsArgs = {
  fleetName: string
  /** Gets a mail of every alarm. */
  email?: string
  minInstances: number
  deadLettersName: pulumi.Input<string>
  readyName: pulumi.Input<string>
  /** Of the load balancer and its target group, as CloudWatch spells them. */
  targets: { LoadBalancer: pulumi.Input<string>; TargetGroup: pulumi.Input<string> }
}

type AlarmArgs = Omit<cloudwatch.MetricAlarmArgs, 'alarmActions' | 'okActions'>

export class Alarms extends pulumi.ComponentResource {
  readonly topicArn: pulumi.Output<string>
  /** Names of the alarms that convict an image while it is rolled out. */
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
      alarmDescription: 'Mail that no instance could work on is in the dead-letter queue.',
      namespace: 'AWS/SQS',
      metricName: 'ApproximateNumberOfMessagesVisible',
      dimensions: { QueueName: deadLettersName },
      statistic: 'Maximum',
      period: 60,
      evaluationPeriods: 1,
      threshold: 0,
      comparisonOperator: 'GreaterThanThreshold',
      // SQS stops publishing for a queue that nobody uses.
      treatMissingData: 'notBreaching',
    })
    this.#alarm(`${name}-oldest-ready`, {
      alarmDescription: `Mail that is due has waited longer than ${OLDEST_READY_SECONDS / 60} minutes.`,
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

  /** Launches that keep failing leave a group below its minimum, however high its desired capacity is. */
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
      warmUpConfiguration: UNTIL_MADE,
    })
  }

  /**
   * "No target is ready" is an alarm only: SQS or the network may be at fault. "Some are ready and some are not" is the
   * instances' own fault, so that one rolls a rollout back. Neither has a fleet replaced: health checks are EC2's.
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
      alarmDescription: 'No instance is ready to take mail.',
      namespace: 'AWS/NetworkELB',
      metricName: 'HealthyHostCount',
      dimensions: targets,
      statistic: 'Maximum',
      period: 60,
      evaluationPeriods: 3,
      threshold: 1,
      comparisonOperator: 'LessThanThreshold',
      treatMissingData: 'breaching',
      warmUpConfiguration: UNTIL_MADE,
    })
    return this.#alarm(`${name}-some-targets`, {
      alarmDescription: 'Some instances are ready to take mail and others are not.',
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
