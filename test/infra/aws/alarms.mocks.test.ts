// The fleet's alarms: each notifies the topic, keeps CloudWatch's rules, and watches the right metric.
/* eslint-disable @typescript-eslint/no-unsafe-member-access -- the comparison checks the inputs' types */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runMockedStack, type ResourceInputs } from '../../kit/pulumi/mocked-stack.ts'

const prod = await runMockedStack('prod')
const dev = await runMockedStack('dev')
const ALARM = 'cloudwatch/metricAlarm:MetricAlarm'
const alarm = (name: string) => prod.one(ALARM, `mailfleet-prod-${name}`)

test('each alarm notifies the topic, and the topic mails the configured address', () => {
  const topic = String(prod.outputs['alarmTopicArn'])
  for (const name of ['dead-letters', 'oldest-ready', 'below-minimum', 'no-target', 'some-targets'])
    assert.deepEqual(alarm(name)['alarmActions'], [topic])
  const subscription = prod.one('sns/topicSubscription:TopicSubscription')
  assert.deepEqual(
    [subscription['topic'], subscription['protocol'], subscription['endpoint']],
    [topic, 'email', 'postmaster@example.net'],
  )
  assert.deepEqual(dev.all('sns/topicSubscription:TopicSubscription'), [])
})

test('each alarm has a period that CloudWatch accepts, and looks back a day at most', () => {
  for (const { name, inputs } of prod.all(ALARM)) {
    const queries = (inputs['metricQueries'] ?? []) as ResourceInputs[]
    const periods = [inputs['period'], ...queries.map((query) => query['metric']?.period as unknown)]
      .filter((period) => period !== undefined)
      .map(Number)
    for (const period of periods) {
      assert.ok(period === 10 || period === 30 || period % 60 === 0, `${name}: ${period} s`)
      assert.ok(period * Number(inputs['evaluationPeriods']) <= 86_400, name)
    }
  }
})

test('a single dead letter raises an alarm', () => {
  const { threshold, comparisonOperator, evaluationPeriods, dimensions } = alarm('dead-letters')
  assert.deepEqual([threshold, comparisonOperator, evaluationPeriods], [0, 'GreaterThanThreshold', 1])
  assert.deepEqual(dimensions, { QueueName: 'mailfleet-prod-dead-letters' })
})

test('a group below its minimum raises an alarm, and so does missing data', () => {
  const { threshold, treatMissingData, metricName } = alarm('below-minimum')
  assert.deepEqual([metricName, threshold, treatMissingData], ['GroupInServiceInstances', 2, 'breaching'])
})

test('missing data raises no alarm before the group exists', () => {
  for (const name of ['below-minimum', 'no-target'])
    assert.ok(alarm(name)['warmUpConfiguration']?.warmUpPeriodDurationInMinutes >= 15, name)
})

test('no ready target only raises an alarm; some ready and some not rolls back a rollout', () => {
  const { alarms } = (prod.one('autoscaling/group:Group')['instanceRefresh'] as ResourceInputs)['preferences']
    .alarmSpecification as { alarms: string[] }
  assert.deepEqual(alarms, ['mailfleet-prod-some-targets'])
  const expression = (alarm('some-targets')['metricQueries'] as ResourceInputs[]).find(
    (query) => query['returnData'],
  )
  assert.equal(expression?.['expression'], 'IF(ready > 0, unready, 0)')
  assert.equal(alarm('no-target')['treatMissingData'], 'breaching')
})
