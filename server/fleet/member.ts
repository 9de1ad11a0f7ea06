// Runs the parts of an instance that belong to a fleet. Owns: which parts run. Without `fleet` in the configuration there
// are none, and the instance is ready once it has routes. None of them throws.
import { awsErrorFields } from '../aws/errors.ts'
import type { Config } from '../config/schema.ts'
import type { Log } from '../log.ts'
import type { Queue } from '../queue/queue.ts'
import type { RouteSource } from '../routing/file-source.ts'
import type { LoadMonitor } from '../smtp/admission.ts'
import type { CanaryGate } from '../smtp/canary.ts'
import type { Listener } from '../smtp/listener.ts'
import { connectAutoScaling, type AutoScaling } from './auto-scaling.ts'
import { startCanary } from './canary.ts'
import type { Stop } from './drain.ts'
import { startLifecycle } from './lifecycle.ts'
import { startLoadReport } from './load-report.ts'
import { createMetadata } from './metadata.ts'
import type { Metrics } from '../metrics.ts'
import { watchReadiness, type Readiness } from './readiness.ts'

export type MemberOptions = {
  config: Config
  listener: Listener
  routes: RouteSource
  queue: Queue
  /** Whether the own forwarder has taken any entry off the queue. */
  hasSettled: () => boolean
  gate: CanaryGate
  watch: LoadMonitor
  metrics: Metrics
  log: Log
  stop: Stop
}

export type Member = {
  readiness: Readiness
  /** The instance drains. */
  draining: () => void
  /** The instance has drained: waits for its group and completes the hook, until `signal` is aborted. */
  drained: (signal: AbortSignal) => Promise<void>
}

export function joinFleet(options: MemberOptions): Member {
  const { config, listener, routes, queue, log, metrics, stop } = options
  const { fleet } = config
  if (fleet === undefined) {
    const readiness = watchReadiness({ isOpen: listener.isOpen, routes, queue, canary: null })
    return { readiness, draining: () => {}, drained: () => Promise.resolve() }
  }
  const canary = startCanary({ ...options, hostname: config.hostname, signal: stop.signal })
  const readiness = watchReadiness({ isOpen: listener.isOpen, routes, queue, canary })
  const { metadata, instanceId, autoScaling } = identify(config)
  const lifecycle = startLifecycle({
    fleet,
    metadata,
    autoScaling,
    sharedOutage: () => sharedOutage(options),
    leave: stop.stop,
    metrics,
    log,
  })
  void readiness.reached.then(() => {
    log('ready')
    lifecycle.ready()
  })
  const stopReport = reportLoad(options, fleet.reportMs, instanceId)
  return {
    readiness,
    draining: lifecycle.draining,
    drained: async (signal) => {
      stopReport()
      await lifecycle.drained(signal)
    },
  }
}

/** The shared service that does not answer; null if all answer. */
async function sharedOutage({ routes, queue }: MemberOptions): Promise<string | null> {
  if (routes.current() === null) return 'routes not loaded'
  try {
    await queue.stats()
    // Any id: the call only checks that DynamoDB answers.
    await queue.settled('none')
    return null
  } catch (error) {
    return `queue: ${String(awsErrorFields(error)['error'])}`
  }
}

/** The identity of this instance. Asks the metadata service until it has answered once. */
function identify(config: Config) {
  const metadata = createMetadata(config.aws.endpoints.metadata)
  let id: string | null = null
  let connection: AutoScaling | null = null

  async function instanceId(): Promise<string> {
    id ??= await metadata.get('meta-data/instance-id')
    if (id === null) throw new Error('the metadata service knows no instance id')
    return id
  }

  return {
    metadata,
    instanceId,
    autoScaling: async () => (connection ??= await connectAutoScaling(config.aws, await instanceId())),
  }
}

/** Starts the load reports. Only a queue on AWS has a table for them. @returns a function that stops them. */
function reportLoad(
  { config, watch, metrics, log }: MemberOptions,
  reportMs: number,
  instanceId: () => Promise<string>,
): () => void {
  const { aws, queue } = config
  if (queue.engine !== 'aws') return () => {}
  return startLoadReport({
    aws,
    table: queue.table,
    reportMs,
    instanceId,
    windowMs: config.limits.refusedWindowMs,
    metrics,
    unknownVersion: () => watch.load.stats?.unknownVersion ?? 0,
    log,
  })
}
