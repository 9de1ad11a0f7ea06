// A fleet in moto for tests of the pulse: two queues with mail in every state, a group, and a table with load
// reports. moto forgets all of it when it ends.
import {
  CreateAutoScalingGroupCommand,
  CreateLaunchConfigurationCommand,
  type AutoScalingClient,
} from '@aws-sdk/client-auto-scaling'
import { GetMetricDataCommand, type CloudWatchClient, type Statistic } from '@aws-sdk/client-cloudwatch'
import { PutItemCommand } from '@aws-sdk/client-dynamodb'
import {
  CreateQueueCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import * as v from 'valibot'
import type { PulseClients } from '../../../infra/pulse/pulse.ts'
import type { PulseSettings } from '../../../infra/pulse/settings.ts'
import { scalingPolicySchema } from '../../../infra/scaling/policy.ts'
import { createTable } from '../aws/table.ts'
import { LOAD_PARTITION } from '../../../contract/load-report.ts'
import { FLEET_DIMENSION } from '../../../contract/metric-names.ts'

/** Messages of a queue by state: visible, in flight, delayed. */
export type Mail = { visible?: number; held?: number; delayed?: number }

/** Long time limits, so that tests pass on a loaded machine. */
export const patient = { requestMs: 60_000, measureMs: 120_000, publishMs: 60_000 }

let fleets = 0

/** A fleet for one test. Its queues are empty unless the test asks for messages. */
export async function makeFleet(
  { sqs, autoScaling, dynamo }: PulseClients,
  { ready = {}, deferred = {}, instances }: { ready?: Mail; deferred?: Mail; instances: number },
): Promise<PulseSettings> {
  fleets += 1
  const name = `fleet-${fleets}`
  await makeGroup(autoScaling, name, instances)
  await createTable(dynamo, name)
  return {
    FLEET: name,
    GROUP: name,
    READY_URL: await makeQueue(sqs, `${name}-ready`, ready),
    DEFERRED_URL: await makeQueue(sqs, `${name}-deferred`, deferred),
    TABLE: name,
    POLICY: v.parse(scalingPolicySchema, {}),
  }
}

async function makeQueue(sqs: SQSClient, name: string, mail: Mail): Promise<string> {
  const { visible = 0, held = 0, delayed = 0 } = mail
  const { QueueUrl } = await sqs.send(
    new CreateQueueCommand({ QueueName: name, Attributes: { VisibilityTimeout: '3600' } }),
  )
  for (let sent = 0; sent < visible + held; sent += 1) {
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'mail' }))
  }
  for (let received = 0; received < held; received += 1) {
    await sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 1 }))
  }
  for (let sent = 0; sent < delayed; sent += 1) {
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: 'mail', DelaySeconds: 900 }))
  }
  return QueueUrl ?? ''
}

async function makeGroup(autoScaling: AutoScalingClient, name: string, instances: number): Promise<void> {
  await autoScaling.send(
    new CreateLaunchConfigurationCommand({
      LaunchConfigurationName: name,
      ImageId: 'ami-12c6146b',
      InstanceType: 't3.small',
    }),
  )
  await autoScaling.send(
    new CreateAutoScalingGroupCommand({
      AutoScalingGroupName: name,
      LaunchConfigurationName: name,
      MinSize: 0,
      MaxSize: 10,
      DesiredCapacity: instances,
      AvailabilityZones: ['eu-west-1a'],
    }),
  )
}

/** A load report as an instance writes it. */
export async function reportLoad(
  { dynamo }: PulseClients,
  table: string,
  instance: string,
  { ageMs, ...given }: { ageMs: number; refused?: number; faults?: number; unknownVersion?: number },
): Promise<void> {
  const numbers = Object.entries({ atMs: Date.now() - ageMs, unknownVersion: 0, ...given })
  const attributes = Object.fromEntries(numbers.map(([key, value]) => [key, { N: String(value) }]))
  const Item = { pk: { S: LOAD_PARTITION }, sk: { S: instance }, ...attributes }
  await dynamo.send(new PutItemCommand({ TableName: table, Item }))
}

const METRICS = [
  'Demand',
  'DemandPerInstance',
  'Ready',
  'InFlight',
  'Deferred',
  'RefusedForLoad',
  'RefusedForFault',
  'Capacity',
  'Surplus',
  'UnknownVersion',
  'PulseFailed',
] as const

/**
 * A fleet's data points in CloudWatch in the five minutes around a slot, by metric: value and time (ms) of each data
 * point. Metrics without a data point are absent.
 */
export async function published(
  cloudWatch: CloudWatchClient,
  fleet: string,
  slotMs: number,
  stat: Statistic = 'Average',
): Promise<Record<string, { value: number; atMs: number }[]>> {
  const { MetricDataResults = [] } = await cloudWatch.send(
    new GetMetricDataCommand({
      StartTime: new Date(slotMs - 150_000),
      EndTime: new Date(slotMs + 150_000),
      MetricDataQueries: METRICS.map((MetricName, index) => ({
        Id: `m${index}`,
        Label: MetricName,
        MetricStat: {
          Metric: {
            Namespace: 'Mailfleet',
            MetricName,
            Dimensions: [{ Name: FLEET_DIMENSION, Value: fleet }],
          },
          Period: 10,
          Stat: stat,
        },
      })),
    }),
  )
  const points = MetricDataResults.map(({ Label = '', Values = [], Timestamps = [] }) => {
    const each = Values.map((value, index) => ({ value, atMs: Timestamps[index]?.getTime() ?? NaN }))
    return [Label, each] as const
  })
  return Object.fromEntries(points.filter(([, each]) => each.length > 0))
}
