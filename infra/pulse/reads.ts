// The pulse's reads: two SQS queues, one Auto Scaling group, the instances' load reports.
// Rejects with the SDK's error, or when a response lacks a number: a missing number is unknown, never 0.
import { DescribeAutoScalingGroupsCommand, type AutoScalingClient } from '@aws-sdk/client-auto-scaling'
import { QueryCommand, type AttributeValue, type DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { GetQueueAttributesCommand, type QueueAttributeName, type SQSClient } from '@aws-sdk/client-sqs'
import { LOAD_PARTITION, type LoadReportAttribute } from '../../contract/load-report.ts'

export type QueueCounts = {
  /** Messages that SQS would deliver now. */
  visible: number
  /** In flight: received, not deleted. */
  notVisible: number
  /** Sent with a delay that has not ended. */
  delayed: number
}

export type GroupSize = { inService: number; pending: number }

export type FleetLoad = {
  /** Messages that all instances refused within the policy's window and another instance could have taken. */
  refusedForLoad: number
  /** Refusals within that window because something is full or broken. */
  refusedForFault: number
  /** Entries of an unknown version: the largest report, since several instances may see the same entry. */
  unknownVersion: number
  /** Keys of reports that could not be read. */
  unreadable: string[]
}

const ATTRIBUTES = {
  visible: 'ApproximateNumberOfMessages',
  notVisible: 'ApproximateNumberOfMessagesNotVisible',
  delayed: 'ApproximateNumberOfMessagesDelayed',
} as const satisfies Record<keyof QueueCounts, QueueAttributeName>

/** A queue's three counts. They are approximate, and may be a minute old. */
export async function readQueue(sqs: SQSClient, url: string, abortSignal: AbortSignal): Promise<QueueCounts> {
  const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: Object.values(ATTRIBUTES) })
  const { Attributes = {} } = await sqs.send(command, { abortSignal })
  const count = (name: QueueAttributeName): number => {
    const value = Attributes[name]
    if (value === undefined || !/^\d+$/.test(value)) throw new Error(`${url} reports no ${name}`)
    return Number(value)
  }
  return {
    visible: count(ATTRIBUTES.visible),
    notVisible: count(ATTRIBUTES.notVisible),
    delayed: count(ATTRIBUTES.delayed),
  }
}

/**
 * Counts instances in service and pending. Instances that terminate, are in standby or in a warm pool count in neither
 * ("Amazon EC2 Auto Scaling instance lifecycle").
 */
export async function readGroup(
  autoScaling: AutoScalingClient,
  name: string,
  abortSignal: AbortSignal,
): Promise<GroupSize> {
  const command = new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [name] })
  const { AutoScalingGroups = [] } = await autoScaling.send(command, { abortSignal })
  const group = AutoScalingGroups.find(({ AutoScalingGroupName }) => AutoScalingGroupName === name)
  if (group === undefined) throw new Error(`there is no Auto Scaling group ${name}`)
  return groupSize((group.Instances ?? []).map(({ LifecycleState }) => LifecycleState))
}

/** @param states the instances' lifecycle states */
export function groupSize(states: readonly (string | undefined)[]): GroupSize {
  return {
    inService: states.filter((state) => state === 'InService').length,
    pending: states.filter((state) => /^Pending(:|$)/.test(state ?? '')).length,
  }
}

/** Sums the load reports since `sinceMs`, also those of terminated instances: the refused senders will retry. */
export async function readLoad(
  dynamo: DynamoDBClient,
  table: string,
  sinceMs: number,
  abortSignal: AbortSignal,
): Promise<FleetLoad> {
  const load: FleetLoad = { refusedForLoad: 0, refusedForFault: 0, unknownVersion: 0, unreadable: [] }
  let next: Record<string, AttributeValue> | undefined
  do {
    const command = new QueryCommand({
      TableName: table,
      KeyConditionExpression: 'pk = :pk',
      FilterExpression: 'atMs >= :since',
      ExpressionAttributeValues: { ':pk': { S: LOAD_PARTITION }, ':since': { N: String(sinceMs) } },
      ExclusiveStartKey: next,
    })
    const { Items = [], LastEvaluatedKey } = await dynamo.send(command, { abortSignal })
    for (const item of Items) addReport(load, item)
    next = LastEvaluatedKey
  } while (next !== undefined)
  return load
}

/**
 * Skips and names a report that it cannot read: one broken instance must not stop the pulse. Older releases report no
 * faults.
 */
function addReport(
  load: FleetLoad,
  { sk, refused, faults = { N: '0' }, unknownVersion }: Partial<Record<LoadReportAttribute, AttributeValue>>,
): void {
  const reported = [refused, faults, unknownVersion].map((value) => Number(value?.N ?? NaN))
  const [refusals = NaN, faulty = NaN, unknown = NaN] = reported
  if (reported.every((figure) => figure >= 0)) {
    load.refusedForLoad += refusals
    load.refusedForFault += faulty
    load.unknownVersion = Math.max(load.unknownVersion, unknown)
  } else {
    load.unreadable.push(sk?.S ?? '')
  }
}
