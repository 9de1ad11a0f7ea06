// One slot of the queue pulse: read queues, group and load reports, then publish one set of metrics.
// Owns: the time limits of a slot. A failed read means no figures: the slot then publishes PulseFailed and no zeros.
// Rejects only when CloudWatch does not take the metrics.
import { AutoScalingClient } from '@aws-sdk/client-auto-scaling'
import { CloudWatchClient } from '@aws-sdk/client-cloudwatch'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { SQSClient } from '@aws-sdk/client-sqs'
import {
  failedValues,
  measuredValues,
  publishMetrics,
  type Measurement,
  type MetricValues,
} from './metrics.ts'
import { readGroup, readLoad, readQueue } from './reads.ts'
import { clientOptions, errorText, type AwsAccess } from '../lambda/client-options.ts'
import type { PulseSettings } from './settings.ts'

/**
 * Time limits of AWS calls, ms. A slot of 10 s has 5 s for its parallel reads, then 4 s for its write. Two attempts of
 * 1.8 s and the pause between them stay below `publishMs`.
 */
const LIMITS = { requestMs: 1_800, measureMs: 5_000, publishMs: 4_000 }

/** Instances report every 10 s: three reports. */
const LEAST_REPORT_MS = 30_000

export type PulseClients = {
  sqs: SQSClient
  autoScaling: AutoScalingClient
  dynamo: DynamoDBClient
  cloudWatch: CloudWatchClient
  limits: typeof LIMITS
}

/** What was published for a slot, and what is missing from it. */
export type SlotReport = {
  values: MetricValues
  /** Why the slot could not be measured. */
  failed?: string
  /** Keys of load reports that could not be read. */
  unreadable: string[]
}

export function pulseClients(access: AwsAccess = {}, limits = LIMITS): PulseClients {
  const options = clientOptions(access, limits.requestMs)
  return {
    sqs: new SQSClient(options),
    autoScaling: new AutoScalingClient(options),
    dynamo: new DynamoDBClient(options),
    cloudWatch: new CloudWatchClient(options),
    limits,
  }
}

/**
 * Measures now and publishes with the slot's timestamp.
 * @throws when CloudWatch does not take the metrics
 */
export async function workSlot(
  clients: PulseClients,
  settings: PulseSettings,
  slotMs: number,
): Promise<SlotReport> {
  const report = await measureSlot(clients, settings)
  await publishMetrics(
    clients.cloudWatch,
    { fleet: settings.FLEET, slotMs, values: report.values },
    AbortSignal.timeout(clients.limits.publishMs),
  )
  return report
}

async function measureSlot(clients: PulseClients, settings: PulseSettings): Promise<SlotReport> {
  try {
    const { measured, unreadable } = await measure(
      clients,
      settings,
      AbortSignal.timeout(clients.limits.measureMs),
    )
    return { values: measuredValues(measured, settings.POLICY), unreadable }
  } catch (error) {
    return { values: failedValues, failed: errorText(error), unreadable: [] }
  }
}

/**
 * Reads everything in parallel, as near to one moment as AWS allows. The deferred queue holds only mail that is due in
 * more than 15 minutes. It counts as deferred even while it is visible there, between two moves of 15 minutes. Mail
 * that is due sooner waits in the ready queue with a delay.
 */
async function measure(
  { sqs, autoScaling, dynamo }: PulseClients,
  settings: PulseSettings,
  abortSignal: AbortSignal,
): Promise<{ measured: Measurement; unreadable: string[] }> {
  const [ready, deferred, group, load] = await Promise.all([
    readQueue(sqs, settings.READY_URL, abortSignal),
    readQueue(sqs, settings.DEFERRED_URL, abortSignal),
    readGroup(autoScaling, settings.GROUP, abortSignal),
    readLoad(dynamo, settings.TABLE, reportsSince(settings, Date.now()), abortSignal),
  ])
  const measured = {
    demand: {
      ready: ready.visible,
      inFlight: ready.notVisible,
      refusedForLoad: load.refusedForLoad,
    },
    deferred: deferred.visible + deferred.delayed + deferred.notVisible + ready.delayed,
    ...group,
    refusedForFault: load.refusedForFault,
    unknownVersion: load.unknownVersion,
  }
  return { measured, unreadable: load.unreadable }
}

/** Reports count as long as their refusals do, and at least so long that two lost reports leave no gap. */
function reportsSince({ POLICY }: PulseSettings, nowMs: number): number {
  return nowMs - Math.max(POLICY.refusedWindowMs, LEAST_REPORT_MS)
}
