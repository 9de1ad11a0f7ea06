// The pulse's function, schedule, permissions and alarms, under mocks.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { test } from 'node:test'
import * as pulumi from '@pulumi/pulumi'
import { QueuePulse } from '../../../infra/aws/queue-pulse.ts'
import { readPulseSettings } from '../../../infra/pulse/settings.ts'
import { assertAlarmsPossible, policyOf, registerComponent } from '../../kit/pulumi/mocked-component.ts'
import type { ResourceInputs } from '../../kit/pulumi/mocked-stack.ts'

const TOPIC = 'arn:aws:sns:eu-west-1:123456789012:alarms'
const FUNCTION = 'lambda/function:Function'
const ALARM = 'cloudwatch/metricAlarm:MetricAlarm'
const queue = (name: string) => ({
  url: `https://sqs.eu-west-1.amazonaws.com/123456789012/${name}`,
  arn: `arn:aws:sqs:eu-west-1:123456789012:${name}`,
})

const make = (reservesConcurrency = true) =>
  registerComponent(() => {
    new QueuePulse('p', {
      fleetName: 'mailfleet-prod',
      groupName: pulumi.output('mailfleet-prod'),
      policy: policyOf(),
      ready: queue('ready'),
      deferred: queue('deferred'),
      table: { name: 'state', arn: 'arn:aws:dynamodb:eu-west-1:123456789012:table/state' },
      topicArn: TOPIC,
      reservesConcurrency,
    })
  })

const pulse = await make()

type Statement = { Action: string[]; Resource: string[]; Condition?: object; Principal?: object }
const statements = (policy: unknown) => (JSON.parse(String(policy)) as { Statement: Statement[] }).Statement
const rights = (name: string) => statements(pulse.one('iam/rolePolicy:RolePolicy', name)['policy'])

test('the function runs Node 24 on arm64, until the latest next start, four at once', () => {
  const made = pulse.one(FUNCTION, 'p')
  assert.equal(made['runtime'], 'nodejs24.x')
  assert.deepEqual(made['architectures'], ['arm64'])
  assert.equal(made['timeout'], 130)
  assert.equal(made['memorySize'], 256)
  assert.equal(made['reservedConcurrentExecutions'], 4)
  assert.equal(made['handler'], 'index.handler')
})

test('the function reserves no concurrency without reservesConcurrency', async () => {
  const free = await make(false)
  assert.equal(free.one(FUNCTION, 'p')['reservedConcurrentExecutions'], -1)
})

test('the function is in no network of the fleet', () => {
  assert.equal(pulse.one(FUNCTION, 'p')['vpcConfig'], undefined)
})

test('the pulse reads its settings from the environment', () => {
  const { variables } = pulse.one(FUNCTION, 'p')['environment'] as { variables: Record<string, string> }
  const settings = readPulseSettings(variables)
  assert.equal(settings.FLEET, 'mailfleet-prod')
  assert.equal(settings.READY_URL, queue('ready').url)
  assert.equal(settings.DEFERRED_URL, queue('deferred').url)
  assert.deepEqual(settings.POLICY, policyOf())
})

/** The files of the function's archive, by name. */
const archived = async ({ one }: typeof pulse) =>
  await (one(FUNCTION, 'p')['code'] as { assets: Promise<Record<string, pulumi.asset.FileAsset>> }).assets

test('the code is one file with all packages', async () => {
  const files = await archived(pulse)
  assert.deepEqual(Object.keys(files), ['index.js'])
  const text = readFileSync(await files['index.js']!.path, 'utf8')
  assert.match(text, /PutMetricData/)
  const required = [...text.matchAll(/require\("([^"]+)"\)/g)].map(([, name]) => name ?? '')
  // The SDK loads this package only for multi-region signatures, and works without it.
  const missing = required.filter((name) => !isBuiltin(name) && name !== '@aws-sdk/signature-v4-crt')
  assert.deepEqual(missing, [])
})

test('Pulumi’s state keeps the path of the code, not its text, and both stay the same', async () => {
  const code = async (run: typeof pulse) => {
    const asset = (await archived(run))['index.js']!
    assert.ok(!('text' in asset))
    const path = await asset.path
    return { path, bytes: readFileSync(path, 'utf8') }
  }
  const first = await code(pulse)
  assert.match(first.path, /\/build\/pulse\/index\.js$/)
  assert.deepEqual(await code(await make()), first)
})

test('neither the schedule nor Lambda retries an invocation', () => {
  const schedule = pulse.one('scheduler/schedule:Schedule', 'p')
  assert.equal(schedule['scheduleExpression'], 'rate(1 minute)')
  assert.deepEqual(schedule['flexibleTimeWindow'], { mode: 'OFF' })
  assert.deepEqual((schedule['target'] as ResourceInputs)['retryPolicy'], {
    maximumRetryAttempts: 0,
    maximumEventAgeInSeconds: 60,
  })
  const { maximumRetryAttempts, maximumEventAgeInSeconds } = pulse.one(
    'lambda/functionEventInvokeConfig:FunctionEventInvokeConfig',
    'p',
  )
  assert.deepEqual([maximumRetryAttempts, maximumEventAgeInSeconds], [0, 60])
})

test('the function’s permissions are exactly its calls', () => {
  const allowed = rights('p').map(({ Action, Resource }) => [Action.join(' '), Resource])
  assert.deepEqual(allowed, [
    ['sqs:GetQueueAttributes', [queue('ready').arn, queue('deferred').arn]],
    ['dynamodb:Query', ['arn:aws:dynamodb:eu-west-1:123456789012:table/state']],
    ['autoscaling:DescribeAutoScalingGroups', ['*']],
    ['cloudwatch:PutMetricData', ['*']],
    ['logs:CreateLogStream logs:PutLogEvents', ['arn:aws:cloudwatch:eu-west-1:123456789012:p:*']],
  ])
})

test('a condition limits actions without a resource level, where AWS has one', () => {
  const conditions = new Map(rights('p').map(({ Action, Condition }) => [Action[0], Condition]))
  assert.deepEqual(conditions.get('cloudwatch:PutMetricData'), {
    StringEquals: { 'cloudwatch:namespace': 'Mailfleet' },
  })
  assert.deepEqual(conditions.get('dynamodb:Query'), {
    'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': ['load'] },
  })
})

test('only a schedule of this account may invoke the function', () => {
  const [invoke] = rights('p-schedule')
  assert.deepEqual(invoke?.Action, ['lambda:InvokeFunction'])
  assert.deepEqual(invoke?.Resource, ['arn:aws:lambda:eu-west-1:123456789012:p'])
  const [trust] = statements(pulse.one('iam/role:Role', 'p-schedule')['assumeRolePolicy'])
  assert.deepEqual(trust?.Principal, { Service: 'scheduler.amazonaws.com' })
  assert.deepEqual(trust?.Condition, { StringEquals: { 'aws:SourceAccount': '123456789012' } })
})

test('the log group has a retention of 14 days', () => {
  assert.equal(pulse.one('cloudwatch/logGroup:LogGroup', 'p')['retentionInDays'], 14)
  assert.equal((pulse.one(FUNCTION, 'p')['loggingConfig'] as ResourceInputs)['logGroup'], 'p-1234567')
})

test('three minutes without data raise an alarm, but not before the first sample', () => {
  const alarm = pulse.one(ALARM, 'p-stale')
  assert.equal(alarm['treatMissingData'], 'breaching')
  assert.equal(alarm['statistic'], 'SampleCount')
  assert.equal(alarm['period'] * alarm['evaluationPeriods'], 180)
  assert.deepEqual(alarm['warmUpConfiguration'], { warmUpPeriodDurationInMinutes: 5 })
})

test('a failing pulse and an unknown version raise alarms of their own', () => {
  for (const [name, metric] of [
    ['p-failed', 'PulseFailed'],
    ['p-unknown-version', 'UnknownVersion'],
  ] as const) {
    const alarm = pulse.one(ALARM, name)
    assert.equal(alarm['metricName'], metric)
    assert.deepEqual(alarm['dimensions'], { Fleet: 'mailfleet-prod' })
    assert.deepEqual([alarm['alarmActions'], alarm['okActions']], [[TOPIC], [TOPIC]])
  }
})

test('no alarm uses a sum, since overlapping invocations may publish twice', () => {
  for (const { name, inputs } of pulse.all(ALARM)) assert.notEqual(inputs['statistic'], 'Sum', name)
  assertAlarmsPossible(pulse.all(ALARM))
})
