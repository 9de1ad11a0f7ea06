// One slot of the queue pulse: look at everything, publish one set of metrics.
// Owns: the time a slot may take, and the rule that what could not be read is unknown: PulseFailed alone, no zeros.
// A failed measurement is a value; only CloudWatch not taking the metrics rejects.
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
import type { PulseSettings } from './settings.ts'

/**
 * How long AWS may take, ms. A slot's reads run side by side, its one write follows: 5 + 4 s of the slot's 10. A
 * request is made twice at most: 2 × 1.8 s and a pause stay below `publishMs`.
 */
const LIMITS = { requestMs: 1_800, measureMs: 5_000, publishMs: 4_000 }

/** Instances report every 10 s. */
const LEAST_REPORT_MS = 30_000

export type PulseClients = {
  sqs: SQSClient
  autoScaling: AutoScalingClient
  dynamo: DynamoDBClient
  cloudWatch: CloudWatchClient
  limits: typeof LIMITS
}

/** What was published for a slot, and why there is less than there should be. */
export type SlotReport = {
  values: MetricValues
  /** Why the slot could not be measured. */
  failed?: string
  /** Load reports that were left out. */
  unreadable: string[]
}

type ClientConfig = Pick<
  ConstructorParameters<typeof SQSClient>[0] & object,
  'endpoint' | 'region' | 'credentials'
>

/** @param config where AWS is and as whom; by default from the environment, as the SDK reads it */
export function pulseClients(config: ClientConfig = {}, limits = LIMITS): PulseClients {
  const { requestMs } = limits
  const options = {
    maxAttempts: 2,
    requestHandler: { connectionTimeout: requestMs, requestTimeout: requestMs, throwOnRequestTimeout: true },
    ...config,
  }
  return {
    sqs: new SQSClient(options),
    autoScaling: new AutoScalingClient(options),
    dynamo: new DynamoDBClient(options),
    cloudWatch: new CloudWatchClient(options),
    limits,
  }
}

/**
 * Measures now and publishes under the slot's time.
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
    settings.FLEET,
    slotMs,
    report.values,
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
 * Everything at once, as near to one moment as AWS gives it. What is in the deferred queue is due in more than 15
 * minutes, also when it is visible there between two hops: it is not ready. What is due sooner waits in the ready queue,
 * delayed until it is due.
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

/** A report of an instance counts as long as its refusals do, and through two reports that are lost at least. */
function reportsSince({ POLICY }: PulseSettings, nowMs: number): number {
  return nowMs - Math.max(POLICY.refusedWindowMs, LEAST_REPORT_MS)
}

/** The name tells a time-out from a refusal; the message may quote a whole answer, so it is cut. */
export function errorText(error: unknown): string {
  return error instanceof Error
    ? `${error.name}: ${error.message}`.slice(0, 300)
    : String(error).slice(0, 300)
}
