// Reports to the queue pulse what only an instance knows: refusals that are demand, refusals that are faults, and entries
// of unknown versions. Owns: one item per instance in the fleet's table, written only while there is something to report,
// and once more when that ends. A failed write is counted and logged; the next report has the same content.
import { LOAD_PARTITION, type LoadReportAttribute } from '../../contract/load-report.ts'
import type { AttributeValue, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { dynamoClient, type AwsSettings } from '../aws/clients.ts'
import { awsErrorFields } from '../aws/errors.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'

/** A report is stale after a minute. After an hour DynamoDB may delete it. */
const KEPT_SECONDS = 3_600

export type LoadReportOptions = {
  aws: AwsSettings
  table: string
  /** Interval of the reports. */
  reportMs: number
  instanceId: () => Promise<string>
  /** How long a refusal counts. */
  windowMs: number
  metrics: Pick<Metrics, 'refusedDemand' | 'refusedFaults' | 'errors'>
  /** Entries of unknown versions in the queue, as last seen. */
  unknownVersion: () => number
  log: Log
}

/** @returns a function that stops the reports */
export function startLoadReport(options: LoadReportOptions): () => void {
  const { metrics, reportMs, unknownVersion, log } = options
  const refused = countWithin(metrics.refusedDemand, options.windowMs)
  const faults = countWithin(metrics.refusedFaults, options.windowMs)
  let wasReported = false
  let busy = false
  const client = dynamoClient(options.aws)

  async function report(): Promise<void> {
    const nowMs = Date.now()
    const load = {
      refused: await refused(nowMs),
      faults: await faults(nowMs),
      unknownVersion: unknownVersion(),
    }
    const loaded = load.refused > 0 || load.faults > 0 || load.unknownVersion > 0
    if (!loaded && !wasReported) return
    await store(await client, options.table, { ...load, nowMs, instanceId: await options.instanceId() })
    wasReported = loaded
  }

  const timer = setInterval(() => {
    if (busy) return
    busy = true
    report()
      .catch((error: unknown) => {
        metrics.errors.inc({ where: 'load-report' })
        log('load-report-failed', awsErrorFields(error))
      })
      .finally(() => {
        busy = false
      })
  }, reportMs)
  timer.unref()
  return () => clearInterval(timer)
}

type Count = { atMs: number; total: number }

/**
 * How far a counter has grown within the window. `counts` holds earlier readings, oldest first. The growth starts from
 * the newest reading as old as the window, or from the start, when the counter was 0.
 */
export function refusedWithin(counts: Count[], now: Count, windowMs: number): number {
  counts.push(now)
  while ((counts[1]?.atMs ?? Infinity) <= now.atMs - windowMs) counts.shift()
  const [oldest] = counts
  const before = oldest !== undefined && oldest.atMs <= now.atMs - windowMs ? oldest.total : 0
  return now.total - before
}

/** @returns a function that reads how far `counter` has grown within the window */
function countWithin(
  counter: Metrics['refusedDemand'],
  windowMs: number,
): (nowMs: number) => Promise<number> {
  const counts: Count[] = []
  return async (nowMs) => {
    const { values } = await counter.get()
    return refusedWithin(counts, { atMs: nowMs, total: values[0]?.value ?? 0 }, windowMs)
  }
}

type Report = { refused: number; faults: number; unknownVersion: number; nowMs: number; instanceId: string }

async function store(client: DynamoDBClient, table: string, report: Report): Promise<void> {
  const { PutItemCommand } = await import('@aws-sdk/client-dynamodb')
  const { refused, faults, unknownVersion, nowMs, instanceId } = report
  await client.send(
    new PutItemCommand({
      TableName: table,
      Item: {
        pk: { S: LOAD_PARTITION },
        sk: { S: instanceId },
        atMs: { N: `${nowMs}` },
        refused: { N: `${refused}` },
        faults: { N: `${faults}` },
        unknownVersion: { N: `${unknownVersion}` },
        ttl: { N: `${Math.ceil(nowMs / 1_000) + KEPT_SECONDS}` },
      } satisfies Record<LoadReportAttribute, AttributeValue>,
    }),
  )
}
