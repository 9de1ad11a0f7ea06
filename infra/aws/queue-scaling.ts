// When the group grows and when it shrinks: three policies, two alarms that drive them, one for people.
// Owns: the policies' numbers, all from one scaling policy. Missing data never scales in: no metric, no surplus. When
// the pulse is silent the group can still grow, on SQS's own metric. Fails with a RunError, which Pulumi prints
// without a stack, when CloudWatch cannot look back as far as the policy asks.
import * as autoscaling from '@pulumi/aws/autoscaling/index.js'
import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import * as pulumi from '@pulumi/pulumi'
import { FLEET_DIMENSION, fleetMetric } from '../../contract/metric-names.ts'
import { SLOT_MS } from '../../contract/pulse-slots.ts'
import { alarmWindow } from '../scaling/alarm-window.ts'
import { targetBacklog, type ScalingPolicy } from '../scaling/policy.ts'

export type QueueScalingArgs = {
  fleetName: pulumi.Input<string>
  /** The Auto Scaling group's, which must publish GroupDesiredCapacity. */
  groupName: pulumi.Input<string>
  policy: ScalingPolicy
  readyQueueName: pulumi.Input<string>
  /** Of the SNS topic that the alarms go to. */
  topicArn: pulumi.Input<string>
}

export class QueueScaling extends pulumi.ComponentResource {
  constructor(name: string, args: QueueScalingArgs, opts?: pulumi.ComponentResourceOptions) {
    super('mailfleet:aws:QueueScaling', name, {}, opts)
    this.#track(name, args)
    this.#scaleIn(name, args)
    this.#fallBack(name, args)
    this.#atMaximum(name, args)
    this.registerOutputs({})
  }

  /** Scale-out: demand an instance held at the target. AWS makes and keeps the alarm for it. */
  #track(name: string, { fleetName, groupName, policy }: QueueScalingArgs): void {
    const { namespace, metricName } = fleetMetric(fleetName, 'DemandPerInstance')
    new autoscaling.Policy(
      `${name}-target`,
      {
        autoscalingGroupName: groupName,
        policyType: 'TargetTrackingScaling',
        estimatedInstanceWarmup: warmupSeconds(policy),
        targetTrackingConfiguration: {
          targetValue: targetBacklog(policy),
          disableScaleIn: true,
          customizedMetricSpecification: {
            namespace,
            metricName,
            metricDimensions: [{ name: FLEET_DIMENSION, value: fleetName }],
            statistic: 'Average',
            period: SLOT_MS / 1000,
          },
        },
      },
      { parent: this },
    )
  }

  /**
   * Scale-in: `scaleIn.step` instances, when every slot of the window had that many to spare. An alarm that stays in
   * ALARM asks its policy again every minute; a simple policy with a cooldown hears it once a window, and its cooldown
   * does not hold back the two policies that scale out ("Scaling cooldowns").
   */
  #scaleIn(name: string, { fleetName, groupName, policy }: QueueScalingArgs): void {
    const { periods, step, cooldownMs } = policy.scaleIn
    const window = alarmWindow(Math.max(periods, Math.ceil(cooldownMs / SLOT_MS)))
    if (window === undefined)
      throw new pulumi.RunError(
        `A scale-in after ${periods} periods of 10 s with a cooldown of ${cooldownMs} ms asks CloudWatch to look back longer than a day, which it cannot: at most 8640 periods, at most 86400000 ms.`,
      )
    const scaleIn = new autoscaling.Policy(
      `${name}-in`,
      {
        autoscalingGroupName: groupName,
        policyType: 'SimpleScaling',
        adjustmentType: 'ChangeInCapacity',
        scalingAdjustment: -step,
        cooldown: window.period * window.evaluationPeriods,
      },
      { parent: this },
    )
    new cloudwatch.MetricAlarm(
      `${name}-surplus`,
      {
        alarmDescription: 'The fleet is larger than its work: one step down. No cause for concern.',
        ...fleetMetric(fleetName, 'Surplus'),
        ...window,
        statistic: 'Minimum',
        threshold: step,
        comparisonOperator: 'GreaterThanOrEqualToThreshold',
        treatMissingData: 'notBreaching',
        alarmActions: [scaleIn.arn],
      },
      { parent: this },
    )
  }

  /**
   * Scale-out without the pulse: what SQS says is visible, for each instance that is desired, once two minutes have
   * passed without a measurement. One alarm with metric math, since composite alarms can drive no scaling policy.
   */
  #fallBack(
    name: string,
    { fleetName, groupName, policy, readyQueueName, topicArn }: QueueScalingArgs,
  ): void {
    const target = targetBacklog(policy)
    const fallback = new autoscaling.Policy(
      `${name}-fallback`,
      {
        autoscalingGroupName: groupName,
        policyType: 'StepScaling',
        adjustmentType: 'ChangeInCapacity',
        metricAggregationType: 'Maximum',
        estimatedInstanceWarmup: warmupSeconds(policy),
        stepAdjustments: fallbackSteps(policy),
      },
      { parent: this },
    )
    const minute = { period: 60 }
    const pulse = { ...fleetMetric(fleetName, 'Demand'), stat: 'SampleCount', ...minute }
    const visible = {
      namespace: 'AWS/SQS',
      metricName: 'ApproximateNumberOfMessagesVisible',
      dimensions: { QueueName: readyQueueName },
      stat: 'Maximum',
      ...minute,
    }
    const desired = {
      namespace: 'AWS/AutoScaling',
      metricName: 'GroupDesiredCapacity',
      dimensions: { AutoScalingGroupName: groupName },
      stat: 'Maximum',
      ...minute,
    }
    new cloudwatch.MetricAlarm(
      `${name}-fallback`,
      {
        alarmDescription:
          'The queue pulse does not measure, mail waits, and the fleet grows on SQS’s own metric.',
        metricQueries: [
          { id: 'pulse', metric: pulse },
          { id: 'visible', metric: visible },
          { id: 'desired', metric: desired },
          { id: 'instances', expression: 'IF(FILL(desired, 1) > 1, FILL(desired, 1), 1)' },
          {
            id: 'backlog',
            expression: 'IF(FILL(pulse, 0) > 0, 0, visible / instances)',
            label: 'visible messages an instance, without a pulse',
            returnData: true,
          },
        ],
        evaluationPeriods: 2,
        threshold: target,
        comparisonOperator: 'GreaterThanOrEqualToThreshold',
        treatMissingData: 'notBreaching',
        alarmActions: [fallback.arn, topicArn],
        okActions: [topicArn],
      },
      { parent: this },
    )
  }

  /** A group of one size is always at its maximum; that is no news. */
  #atMaximum(name: string, { fleetName, policy, topicArn }: QueueScalingArgs): void {
    if (policy.minInstances === policy.maxInstances) return
    new cloudwatch.MetricAlarm(
      `${name}-at-maximum`,
      {
        alarmDescription: `The fleet has been at its maximum of ${policy.maxInstances} for 10 minutes: raise it if mail waits.`,
        ...fleetMetric(fleetName, 'Capacity'),
        statistic: 'Minimum',
        period: 60,
        evaluationPeriods: 10,
        threshold: policy.maxInstances,
        comparisonOperator: 'GreaterThanOrEqualToThreshold',
        treatMissingData: 'notBreaching',
        alarmActions: [topicArn],
        okActions: [topicArn],
      },
      { parent: this },
    )
  }
}

function warmupSeconds({ warmupMs }: ScalingPolicy): number {
  return Math.ceil(warmupMs / 1000)
}

/**
 * One instance from the target on, the surge's step from its number of targets on. Bounds are distances from the
 * alarm's threshold, which is the target.
 */
function fallbackSteps(policy: ScalingPolicy) {
  const { targets, step } = policy.surge
  const surge = String(targetBacklog(policy) * (targets - 1))
  const steps = [{ metricIntervalLowerBound: surge, scalingAdjustment: step }]
  if (targets === 1) return steps
  return [{ metricIntervalLowerBound: '0', metricIntervalUpperBound: surge, scalingAdjustment: 1 }, ...steps]
}
