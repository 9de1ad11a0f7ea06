// The server process: config → parts → run → drain. Owns: the order in which parts start and stop.
// Exit codes: 0 after a drain, 2 for bad input, 1 when it cannot start or stops after an internal error.
// Usage: node server/main.ts --config FILE | --config-from-instance
import { parseArgs } from 'node:util'
import { InputError } from '../input/problems.ts'
import { awsErrorFields } from './aws/errors.ts'
import { watchClockSteps } from './clock.ts'
import type { Config } from './config/schema.ts'
import { createDeliverer } from './delivery/deliver.ts'
import { startForwarder } from './delivery/forwarder.ts'
import { reverseSrs } from './delivery/srs.ts'
import { spoolWritable, startAdmin, type Admin } from './fleet/admin.ts'
import { drain, watchStop, type Stop } from './fleet/drain.ts'
import { joinFleet, type Member } from './fleet/member.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { startWatchdog } from './fleet/watchdog.ts'
import type { TlsFiles } from './config/load.ts'
import { createLog, errorFields, limitFailures, type Log } from './log.ts'
import { formatAddress, parseAddress } from './address.ts'
import { StoppedError } from './retry-until-stopped.ts'
import type { Queue } from './queue/queue.ts'
import { openQueue } from './queue/open.ts'
import type { RouteSource } from './routing/file-source.ts'
import { openRoutes } from './routing/open.ts'
import { resolveRecipient, roleMailbox } from './routing/table.ts'
import { completeConfig, readConfig, type ConfigSource } from './config/complete.ts'
import { startLoadMonitor, type LoadMonitor } from './smtp/admission.ts'
import { createCanaryGate } from './smtp/canary.ts'
import { startListener, type Listener } from './smtp/listener.ts'
import { createTransactions } from './smtp/transaction.ts'

/** Log lines of one kind of failure a second. */
const FAILURES_LOGGED = 10

/** Shortest time between two log lines with the same queue error. */
const STATS_LOG_MS = 60_000

/** The running parts of a server that accepts mail. */
type Serving = {
  listener: Listener
  member: Member
  queue: Queue
  /** Leases no more entries and waits for the deliveries in progress. */
  stopForwarding: (timeoutMs: number) => Promise<void>
  close: () => Promise<void>
  /** Whether {@link Serving.close} has begun. */
  isClosed: () => boolean
}

/** Serves until a stop signal or an internal error. @returns the exit code. */
async function serve(source: ConfigSource, log: Log): Promise<number> {
  // Handle signals from the start: SIGTERM during start-up must end in exit code 0.
  const stop = watchStop(log)
  try {
    const read = await readConfig(source, { log, signal: stop.signal })
    let serving: Serving | null = null
    // The admin endpoint answers scrapes until the group terminates the instance, after the queue is closed.
    const metrics = createMetrics(() => (serving?.isClosed() === false ? serving.queue.stats() : null))
    metrics.beforeScrape.push(() => metrics.queueProblem(serving?.queue.problem() ?? null))
    // Start the admin endpoint before any wait: an instance that waits for a dependency is healthy.
    const admin = await startAdmin({
      listen: read.config.listen.admin,
      scrape: () => metrics.scrape(),
      healthy: () => (serving === null ? null : healthy(serving.queue, read.config)),
      ready: () => (serving === null ? 'starting' : serving.member.readiness.problem()),
      log,
    })
    const { config, tls } = await completeConfig(read, { log, signal: stop.signal })
    serving = await startServing({ config, tls, metrics, log, stop })
    logListening(serving, admin, config, log)
    return await leave(serving, admin, { reason: await stop.reason, hurry: stop.hurry, config, log })
  } catch (error) {
    if (!(error instanceof StoppedError)) throw error
    const reason = await stop.reason
    log('stopped', { reason, error: error.message })
    return reason === 'error' ? 1 : 0
  }
}

type Parts = { config: Config; tls: TlsFiles | null; metrics: Metrics; log: Log; stop: Stop }

/** Starts all parts; each part starts after the parts that it uses. */
async function startServing({ config, tls, metrics, log, stop }: Parts): Promise<Serving> {
  const routes = await openRoutes(config, metrics, log)
  const queue = await openObservedQueue(config, metrics, log)
  const loadMonitor = await monitorQueue(queue, metrics, log)
  const stopWatchingSteps = watchClockSteps((stepMs) => {
    metrics.clockSteps.inc({ direction: stepMs < 0 ? 'back' : 'forward' })
    log('clock-step', { stepMs: Math.round(stepMs) })
  })
  const deliverer = createDeliverer(config)
  const context = attemptContext(config, routes, deliverer.deliver)
  const forwarder = startForwarder({ ...config.delivery, queue, metrics, log, context })
  const gate = createCanaryGate(config.hostname)
  const transactions = createTransactions({
    config,
    queue,
    routes,
    loadMonitor,
    metrics,
    log,
    canary: gate,
    onQueued: forwarder.wake,
  })
  const listener = await startListener({ config, tls, transactions, metrics, log })
  const { hasSettled } = forwarder
  const member = joinFleet({
    config,
    listener,
    routes,
    queue,
    hasSettled,
    gate,
    watch: loadMonitor,
    metrics,
    log,
    stop,
  })
  let closed = false
  return {
    listener,
    member,
    queue,
    stopForwarding: forwarder.stop,
    isClosed: () => closed,
    close: async () => {
      closed = true
      loadMonitor.stop()
      stopWatchingSteps()
      routes.close()
      deliverer.close()
      await queue.close()
    },
  }
}

/** Opens the queue; its errors and commit times go to the metrics and the log. */
function openObservedQueue(config: Config, metrics: Metrics, log: Log): Promise<Queue> {
  return openQueue(config, {
    onError: (where, error) => {
      metrics.errors.inc({ where })
      log('queue-failed', { where, ...awsErrorFields(error) })
    },
    onCommit: ({ tookMs, lockWaitMs }) => {
      metrics.commitTime.observe(tookMs / 1_000)
      metrics.lockWait.observe(lockWaitMs / 1_000)
    },
  })
}

function logListening({ listener }: Serving, admin: Admin, { fleet }: Config, log: Log): void {
  log('listening', {
    fleet: fleet?.name,
    smtp: listener.address,
    admin: admin.address,
    pid: process.pid,
    startMs: Math.round(performance.now()),
  })
}

type Leaving = { reason: Awaited<Stop['reason']>; hurry: AbortSignal; config: Config; log: Log }

/** Drains. @returns the exit code. */
async function leave(
  serving: Serving,
  admin: Admin,
  { reason, hurry, config, log }: Leaving,
): Promise<number> {
  const { listener, member, stopForwarding, close } = serving
  member.draining()
  const code = await drain(reason, {
    timeoutMs: config.drain.timeoutMs,
    log,
    sessions: listener.drain,
    deliveries: stopForwarding,
    close,
    // The load balancer may send connections until the group releases the instance. They get a 421.
    released: member.drained,
    releaseMs: config.fleet?.terminateWaitMs ?? 0,
    hurry,
  })
  listener.close()
  admin.close()
  return code
}

function monitorQueue(queue: Queue, metrics: Metrics, log: Log): Promise<LoadMonitor> {
  let logged = { text: '', atMs: -Infinity }
  return startLoadMonitor(queue, (error) => {
    metrics.errors.inc({ where: 'queue-stats' })
    // The queue is asked four times a second. While a disk is full, every answer is the same error.
    const nowMs = performance.now()
    if (String(error) === logged.text && nowMs - logged.atMs < STATS_LOG_MS) return
    logged = { text: String(error), atMs: nowMs }
    log('queue-stats-failed', awsErrorFields(error))
  })
}

function attemptContext(
  config: Config,
  routes: RouteSource,
  deliver: ReturnType<typeof createDeliverer>['deliver'],
) {
  return {
    deliver,
    sendersMailboxes: (sender: string) => sendersMailboxes(sender, routes, config),
    srs: config.srs,
    hostname: config.hostname,
    retry: config.retry,
    relayed: config.delivery.relay !== undefined,
    now: Date.now,
    random: Math.random,
  }
}

/** @returns why this instance is unhealthy: a failed queue, slow commits or an unwritable spool; null if it is healthy. */
async function healthy(queue: Queue, config: Config): Promise<string | null> {
  const failure = queue.failure()?.message
  if (failure !== undefined) return failure
  const problem = queue.problem()
  if (problem?.reason === 'slow-commit' || problem?.reason === 'spool-unwritable') return problem.text
  return config.queue.engine === 'embedded' ? spoolWritable(config.queue.path) : null
}

/** Where a DSN for `sender` goes: to the mailboxes behind our own alias or SRS address, else to the sender. */
function sendersMailboxes(sender: string, routes: RouteSource, config: Config): string[] {
  const { srs } = config
  const address = parseAddress(sender)
  if (address === null) return []
  const original = address.domain === srs.domain ? reverseSrs(srs, address.local, Date.now()) : address
  if (original === null) return []
  const resolution = resolveRecipient(routes.current() ?? new Map(), original, roleMailbox(config))
  if (resolution.kind === 'routed') return resolution.destinations.map(formatAddress)
  return resolution.kind === 'unknown-domain' ? [formatAddress(original)] : []
}

const USAGE = '--config FILE, or --config-from-instance'

/** @throws {InputError} for any other arguments. */
function configSource(): ConfigSource {
  const options = { config: { type: 'string' }, 'config-from-instance': { type: 'boolean' } } as const
  let values: { config?: string | undefined; 'config-from-instance'?: boolean | undefined }
  try {
    values = parseArgs({ options }).values
  } catch (cause) {
    throw new InputError('arguments', [{ key: '', found: String(cause), expected: USAGE }], { cause })
  }
  const { config, 'config-from-instance': fromInstance = false } = values
  if (fromInstance && config === undefined) return 'instance'
  if (!fromInstance && config !== undefined) return { file: config }
  throw new InputError('arguments', [{ key: '', found: fromInstance ? 'both' : 'neither', expected: USAGE }])
}

/** A function, since the bundle is CommonJS, which starts faster but has no top-level await. */
async function main(): Promise<number> {
  const log = limitFailures(createLog(), FAILURES_LOGGED)
  startWatchdog(process.env, log)
  try {
    return await serve(configSource(), log)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    process.stderr.write(`${message}\n`)
    if (error instanceof InputError) return 2
    log('start-failed', errorFields(error))
    return 1
  }
}

void main().then((code) => process.exit(code))
