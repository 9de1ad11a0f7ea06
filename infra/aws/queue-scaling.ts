// When the group grows and shrinks: three scaling policies, the two alarms that drive them, and one alarm for operators.
// Owns: the policies' numbers. Missing data never scales in. When the pulse is silent, the group can still grow on SQS's
// own metric. Fails with a RunError when CloudWatch cannot look back as far as the scaling policy asks.
import * as autoscaling from '@pulumi/aws/autoscaling/index.js'
import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import * as pulumi from '@pulumi/pulumi'
import { FLEET_DIMENSION, fleetMetric } from '../../contract/metric-names.ts'
import { SLOT_MS } from '../../contract/pulse-slots.ts'
import { targetBacklog, type ScalingPolicy } from '../scaling/policy.ts'

/** CloudWatch keeps data points of less than a minute for three hours ("Metrics retention"). */
const FINE_SECONDS = 3 * 3600
/** The longest look-back of an alarm with periods below an hour (PutMetricAlarm, Period). */
const MAX_WINDOW_SECONDS = 24 * 3600

export type QueueScalingArgs = {
  fleetName: pulumi.Input<string>
  /** The Auto Scaling group's name. It must publish GroupDesiredCapacity. */
  groupName: pulumi.Input<string>
  policy: ScalingPolicy
  readyQueueName: pulumi.Input<string>
  /** ARN of the SNS topic that receives the alarms. */
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

  /** Scale-out: target tracking on demand per instance. AWS creates and maintains its alarm. */
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
   * Scale-in by `scaleIn.step` instances, when every slot of the window had that surplus. An alarm in ALARM calls its
   * policy every minute. A simple policy with a cooldown acts on it once per window, and its cooldown does not delay the
   * two scale-out policies ("Scaling cooldowns").
   */
  #scaleIn(name: string, { fleetName, groupName, policy }: QueueScalingArgs): void {
    const { periods, step, cooldownMs } = policy.scaleIn
    const window = alarmWindow(Math.max(periods, Math.ceil(cooldownMs / SLOT_MS)))
    if (window === undefined)
      throw new pulumi.RunError(
        `scaleIn.periods is ${periods} (of 10 s) and scaleIn.cooldownMs is ${cooldownMs}: a CloudWatch alarm looks back a day at most, so at most 8640 periods and at most 86400000 ms.`,
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
        alarmDescription:
          'The fleet has more instances than it needs: it scales in by one step. No action needed.',
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
   * Scale-out without the pulse: on SQS's visible messages per desired instance, after two minutes without a measurement.
   * One alarm with metric math, since composite alarms cannot drive scaling policies.
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
          'The queue pulse does not measure and mail waits: the fleet scales out on SQS’s own metric.',
        metricQueries: [
          { id: 'pulse', metric: pulse },
          { id: 'visible', metric: visible },
          { id: 'desired', metric: desired },
          { id: 'instances', expression: 'IF(FILL(desired, 1) > 1, FILL(desired, 1), 1)' },
          {
            id: 'backlog',
            expression: 'IF(FILL(pulse, 0) > 0, 0, visible / instances)',
            label: 'visible messages per instance, without a pulse',
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

  /** No alarm for a group of fixed size, which is always at its maximum. */
  #atMaximum(name: string, { fleetName, policy, topicArn }: QueueScalingArgs): void {
    if (policy.minInstances === policy.maxInstances) return
    new cloudwatch.MetricAlarm(
      `${name}-at-maximum`,
      {
        alarmDescription: `The fleet has been at its maximum of ${policy.maxInstances} instances for 10 minutes: raise the maximum if mail waits.`,
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
 * Adds one instance from the target on, and the surge's step from `surge.targets` targets on. Bounds are relative to the
 * alarm's threshold, which is the target.
 */
function fallbackSteps(policy: ScalingPolicy) {
  const { targets, step } = policy.surge
  const surge = String(targetBacklog(policy) * (targets - 1))
  const steps = [{ metricIntervalLowerBound: surge, scalingAdjustment: step }]
  if (targets === 1) return steps
  return [{ metricIntervalLowerBound: '0', metricIntervalUpperBound: surge, scalingAdjustment: 1 }, ...steps]
}

/**
 * Period in seconds and number of periods of an alarm over so many slots. Beyond three hours the periods are minutes. With
 * the statistic Minimum, still every slot must breach.
 * @returns undefined when it is longer than a day
 */
export function alarmWindow(slots: number): { period: number; evaluationPeriods: number } | undefined {
  const slotSeconds = SLOT_MS / 1000
  const seconds = slots * slotSeconds
  if (seconds > MAX_WINDOW_SECONDS) return undefined
  if (seconds <= FINE_SECONDS) return { period: slotSeconds, evaluationPeriods: slots }
  return { period: 60, evaluationPeriods: Math.ceil(seconds / 60) }
}
