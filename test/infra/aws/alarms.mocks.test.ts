// Whom a fleet calls: every alarm reaches the topic, can be evaluated by CloudWatch, and is about what it says.
/* eslint-disable @typescript-eslint/no-unsafe-member-access -- what a resource's inputs are, the comparison says */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runStack, type ResourceInputs } from '../../kit/pulumi/mocked-stack.ts'

const prod = await runStack('prod')
const dev = await runStack('dev')
const ALARM = 'cloudwatch/metricAlarm:MetricAlarm'
const alarm = (name: string) => prod.one(ALARM, `mailfleet-prod-${name}`)

test('alarms reach the topic, and the topic the mailbox of the configuration', () => {
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

test('CloudWatch takes the alarms’ periods: 10, 30 or whole minutes, a day in all at most', () => {
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

test('a single dead letter is an alarm', () => {
  const { threshold, comparisonOperator, evaluationPeriods, dimensions } = alarm('dead-letters')
  assert.deepEqual([threshold, comparisonOperator, evaluationPeriods], [0, 'GreaterThanThreshold', 1])
  assert.deepEqual(dimensions, { QueueName: 'mailfleet-prod-dead-letters' })
})

test('a group that cannot launch is an alarm, and so is one that says nothing', () => {
  const { threshold, treatMissingData, metricName } = alarm('below-minimum')
  assert.deepEqual([metricName, threshold, treatMissingData], ['GroupInServiceInstances', 2, 'breaching'])
})

test('what is silent because it is not there yet is no alarm', () => {
  for (const name of ['below-minimum', 'no-target'])
    assert.ok(alarm(name)['warmUpConfiguration']?.warmUpPeriodDurationInMinutes >= 15, name)
})

test('no ready target is an alarm, and convicts no image; some ready and some not does', () => {
  const { alarms } = (prod.one('autoscaling/group:Group')['instanceRefresh'] as ResourceInputs)['preferences']
    .alarmSpecification as { alarms: string[] }
  assert.deepEqual(alarms, ['mailfleet-prod-some-targets'])
  const expression = (alarm('some-targets')['metricQueries'] as ResourceInputs[]).find(
    (query) => query['returnData'],
  )
  assert.equal(expression?.['expression'], 'IF(ready > 0, unready, 0)')
  assert.equal(alarm('no-target')['treatMissingData'], 'breaching')
})
