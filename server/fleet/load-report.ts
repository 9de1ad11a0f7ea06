// What only an instance knows and the queue pulse needs: refusals that are demand, refusals that are faults, and entries
// of unknown versions.
// Owns: one item in the fleet's table for each instance, written only while there is something to tell, and once more
// when that is over. A report that cannot be stored is counted and logged, never more: the next one says the same.
import { LOAD_PARTITION, type LoadReportAttribute } from '../../contract/load-report.ts'
import type { AttributeValue, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { dynamoClient, type AwsSettings } from '../aws/clients.ts'
import { awsErrorFields } from '../aws/errors.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'

/** A report that nobody renews is old after a minute, and of no use to anyone after an hour. */
const KEPT_SECONDS = 3_600

export type LoadReportOptions = {
  aws: AwsSettings
  table: string
  /** How often there may be a report. */
  reportMs: number
  instanceId: () => Promise<string>
  /** How long a refusal counts. */
  windowMs: number
  metrics: Pick<Metrics, 'refusedDemand' | 'refusedFaults' | 'errors'>
  /** Entries of unknown versions in the queue, as last seen. */
  unknownVersion: () => number
  log: Log
}

/** @returns what stops it. */
export function startLoadReport(options: LoadReportOptions): () => void {
  const { metrics, reportMs, unknownVersion, log } = options
  const refused = countWithin(metrics.refusedDemand, options.windowMs)
  const faults = countWithin(metrics.refusedFaults, options.windowMs)
  let told = false
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
    if (!loaded && !told) return
    await store(await client, options.table, { ...load, nowMs, instanceId: await options.instanceId() })
    told = loaded
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
 * How far a counter has grown within the window. `counts`: what it showed before, oldest first; the newest that is as
 * old as the window is what it has grown from, or the start, when it was 0.
 */
export function refusedWithin(counts: Count[], now: Count, windowMs: number): number {
  counts.push(now)
  while ((counts[1]?.atMs ?? Infinity) <= now.atMs - windowMs) counts.shift()
  const [oldest] = counts
  const before = oldest !== undefined && oldest.atMs <= now.atMs - windowMs ? oldest.total : 0
  return now.total - before
}

/** @returns how far `counter` has grown within the window, each time it is asked. */
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
