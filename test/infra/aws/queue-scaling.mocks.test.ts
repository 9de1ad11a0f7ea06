// The scaling policies and their alarms: one test for each rule of Auto Scaling and CloudWatch that they depend on.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QueueScaling } from '../../../infra/aws/queue-scaling.ts'
import type { ScalingPolicy } from '../../../infra/scaling/policy.ts'
import {
  arnOf,
  assertAlarmsPossible,
  policyOf,
  registerComponent,
  type RegisteredComponent,
} from '../../kit/pulumi/mocked-component.ts'
import type { ResourceInputs } from '../../kit/pulumi/mocked-stack.ts'

const POLICY = 'autoscaling/policy:Policy'
const ALARM = 'cloudwatch/metricAlarm:MetricAlarm'
const TOPIC = 'arn:aws:sns:eu-west-1:123456789012:alarms'

const scaling = (policy: ScalingPolicy) =>
  registerComponent(() => {
    new QueueScaling('q', {
      fleetName: 'mailfleet-prod',
      groupName: 'mailfleet-prod',
      policy,
      readyQueueName: 'prod-ready',
      topicArn: TOPIC,
    })
  })

const usual = await scaling(policyOf())
/** The configuration of a fleet's target tracking policy. */
const tracking = ({ one }: RegisteredComponent) =>
  one(POLICY, 'q-target')['targetTrackingConfiguration'] as ResourceInputs
const arn = (name: string) => arnOf('aws:autoscaling/policy:Policy', name)

test('scale-out tracks DemandPerInstance in periods of 10 s', () => {
  assert.equal(usual.one(POLICY, 'q-target')['policyType'], 'TargetTrackingScaling')
  assert.equal(tracking(usual)['targetValue'], 100)
  assert.deepEqual(tracking(usual)['customizedMetricSpecification'], {
    namespace: 'Mailfleet',
    metricName: 'DemandPerInstance',
    metricDimensions: [{ name: 'Fleet', value: 'mailfleet-prod' }],
    statistic: 'Average',
    period: 10,
  })
})

test('the target is acceptable delay ÷ time per message', async () => {
  const other = await scaling(
    policyOf({ acceptableDelayMs: 30_000, deliveryMs: 500, concurrency: 20, warmupMs: 45_500 }),
  )
  assert.equal(tracking(other)['targetValue'], 1200)
  assert.equal(other.one(POLICY, 'q-target')['estimatedInstanceWarmup'], 46)
})

test('only the simple policy scales in; target tracking never does', () => {
  assert.equal(tracking(usual)['disableScaleIn'], true)
  const { policyType, scalingAdjustment, cooldown } = usual.one(POLICY, 'q-in')
  assert.deepEqual([policyType, scalingAdjustment, cooldown], ['SimpleScaling', -1, 300])
  const shrinking = usual.all(POLICY).filter(({ inputs }) => JSON.stringify(inputs).includes('Adjustment":-'))
  assert.deepEqual(
    shrinking.map(({ name }) => name),
    ['q-in'],
  )
})

test('missing data never scales in: every slot of the window must report a surplus', () => {
  const alarm = usual.one(ALARM, 'q-surplus')
  assert.deepEqual(alarm['alarmActions'], [arn('q-in')])
  assert.equal(alarm['treatMissingData'], 'notBreaching')
  assert.equal(alarm['statistic'], 'Minimum')
  assert.equal(alarm['comparisonOperator'], 'GreaterThanOrEqualToThreshold')
  assert.equal(alarm['threshold'], 1)
  assert.deepEqual([alarm['period'], alarm['evaluationPeriods']], [10, 30])
  assert.equal(alarm['datapointsToAlarm'], undefined)
  assert.equal(alarm['insufficientDataActions'], undefined)
})

test('a step of several instances needs as large a surplus, and a long cooldown lengthens the window', async () => {
  const steep = await scaling(policyOf({ scaleIn: { step: 3, periods: 6, cooldownMs: 120_000 } }))
  const alarm = steep.one(ALARM, 'q-surplus')
  assert.equal(alarm['threshold'], 3)
  assert.deepEqual([alarm['period'], alarm['evaluationPeriods']], [10, 12])
  assert.equal(steep.one(POLICY, 'q-in')['cooldown'], 120)
})

test('a window longer than CloudWatch’s limit stops the preview with one sentence', async () => {
  await assert.rejects(
    scaling(policyOf({ scaleIn: { periods: 8641 } })),
    /looks back a day at most.*at most 8640 periods/,
  )
})

test('the fallback scales out only while the pulse does not measure', () => {
  const alarm = usual.one(ALARM, 'q-fallback')
  type Query = { id: string; expression?: string; metric?: object; returnData?: boolean }
  const queries = alarm['metricQueries'] as Query[]
  const byId = new Map(queries.map((query) => [query.id, query]))
  const returned = queries.filter(({ returnData }) => returnData)
  assert.deepEqual(
    returned.map(({ expression }) => expression),
    ['IF(FILL(pulse, 0) > 0, 0, visible / instances)'],
  )
  assert.deepEqual(byId.get('pulse')?.metric, {
    namespace: 'Mailfleet',
    metricName: 'Demand',
    dimensions: { Fleet: 'mailfleet-prod' },
    stat: 'SampleCount',
    period: 60,
  })
  assert.deepEqual(byId.get('visible')?.metric, {
    namespace: 'AWS/SQS',
    metricName: 'ApproximateNumberOfMessagesVisible',
    dimensions: { QueueName: 'prod-ready' },
    stat: 'Maximum',
    period: 60,
  })
  // A queue that was idle for six hours has no data: no scaling, and no division by zero.
  assert.equal(alarm['treatMissingData'], 'notBreaching')
  assert.equal(byId.get('instances')?.expression, 'IF(FILL(desired, 1) > 1, FILL(desired, 1), 1)')
})

test('the fallback’s metric alarm drives its policy and notifies the topic', () => {
  const alarm = usual.one(ALARM, 'q-fallback')
  assert.deepEqual(alarm['alarmActions'], [arn('q-fallback'), TOPIC])
  assert.deepEqual(alarm['okActions'], [TOPIC])
  assert.deepEqual(usual.all('cloudwatch/compositeAlarm:CompositeAlarm'), [])
})

test('the fallback adds one instance from the target on, and the surge’s step from its number of targets on', async () => {
  const { policyType, adjustmentType, stepAdjustments } = usual.one(POLICY, 'q-fallback')
  assert.deepEqual([policyType, adjustmentType], ['StepScaling', 'ChangeInCapacity'])
  assert.equal(usual.one(ALARM, 'q-fallback')['threshold'], 100)
  assert.deepEqual(stepAdjustments, [
    { metricIntervalLowerBound: '0', metricIntervalUpperBound: '200', scalingAdjustment: 1 },
    { metricIntervalLowerBound: '200', scalingAdjustment: 4 },
  ])
  const steep = await scaling(policyOf({ surge: { targets: 1, step: 2 } }))
  assert.deepEqual(steep.one(POLICY, 'q-fallback')['stepAdjustments'], [
    { metricIntervalLowerBound: '0', scalingAdjustment: 2 },
  ])
})

test('ten minutes at the maximum raise an alarm, unless the group has a fixed size', async () => {
  const alarm = usual.one(ALARM, 'q-at-maximum')
  assert.equal(alarm['threshold'], 20)
  assert.equal(alarm['period'] * alarm['evaluationPeriods'], 600)
  assert.deepEqual(alarm['alarmActions'], [TOPIC])
  const fixed = await scaling(policyOf({ minInstances: 3, maxInstances: 3 }))
  assert.ok(!fixed.all(ALARM).some(({ name }) => name === 'q-at-maximum'))
})

test('every alarm keeps CloudWatch’s rules, also with the longest window', async () => {
  const longest = await scaling(policyOf({ scaleIn: { periods: 8640 } }))
  for (const { all } of [usual, longest]) assertAlarmsPossible(all(ALARM))
})

test('every policy changes the group’s size relative to the current one', () => {
  for (const { name, inputs } of usual.all(POLICY)) {
    assert.notEqual(inputs['adjustmentType'], 'ExactCapacity', name)
    assert.equal(inputs['autoscalingGroupName'], 'mailfleet-prod', name)
  }
})
