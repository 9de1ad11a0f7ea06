// The server process: config → parts → run → drain. Exit 0 after a drain, 2 for bad input, 1 when it cannot start or
// had to stop by itself. Owns: the order in which parts start and stop. Usage: node server/main.ts --config FILE
import { parseArgs } from 'node:util'
import { InputError } from '../input/problems.ts'
import type { Config } from './config.ts'
import { createDeliverer } from './delivery/deliver.ts'
import { startForwarder } from './delivery/forwarder.ts'
import { reverseSrs } from './delivery/srs.ts'
import { spoolWritable, startAdmin } from './fleet/admin.ts'
import { drain, stopReason } from './fleet/drain.ts'
import { createMetrics, type Metrics } from './fleet/metrics.ts'
import { loadConfig } from './load-config.ts'
import { createLog, errorFields, type Log } from './log.ts'
import { formatAddress, parseAddress } from './names.ts'
import type { Queue } from './queue/queue.ts'
import { openConfigured } from './queue/open.ts'
import { openFileSource, type RouteSource } from './routing/file-source.ts'
import { resolve } from './routing/table.ts'
import { watchLoad, type LoadWatch } from './smtp/admission.ts'
import { startListener } from './smtp/listener.ts'
import { createTransactions } from './smtp/transaction.ts'

/** Serves until told to stop. @returns the exit code. */
async function serve(file: string, log: Log): Promise<number> {
  // From the start: a signal that comes before anything is served must not look like a crash.
  const stopped = stopReason(log)
  const { config, tls } = loadConfig(file)
  // Before the routes, which count their reloads from now on, however long the queue takes to open.
  const metrics = createMetrics(() => queue.stats())
  if (config.routes.kind === 's3') throw new Error('routes in S3 are not part of this build')
  const routes = await openFileSource({
    ...config.routes,
    onReload: ({ result, ...about }) => {
      metrics.routesReloads.inc({ result })
      log(`routes-${result}`, about)
    },
  })
  const queue = await openConfigured(config)
  const watch = await watchQueue(queue, metrics, log)
  const deliverer = createDeliverer(config)
  const context = attemptContext(config, routes, deliverer.deliver)
  const forwarder = startForwarder({ ...config.delivery, queue, metrics, log, context })
  const transactions = createTransactions({
    config,
    queue,
    routes,
    watch,
    metrics,
    log,
    onQueued: forwarder.kick,
  })
  const listener = await startListener({ config, tls, transactions, metrics, log })
  const admin = await startAdmin({
    listen: config.listen.admin,
    scrape: () => metrics.scrape(),
    healthy: () => healthy(queue, config),
    ready: () => (!listener.isOpen() ? 'draining' : routes.current() === null ? 'routes not loaded' : null),
    log,
  })
  log('listening', {
    smtp: listener.address,
    admin: admin.address,
    pid: process.pid,
    startMs: Math.round(performance.now()),
  })
  return drain(await stopped, {
    timeoutMs: config.drain.timeoutMs,
    log,
    sessions: listener.drain,
    deliveries: forwarder.stop,
    close: async () => {
      watch.stop()
      routes.close()
      deliverer.close()
      await queue.close()
      admin.close()
    },
  })
}

function watchQueue(queue: Queue, metrics: Metrics, log: Log): Promise<LoadWatch> {
  return watchLoad(queue, (error) => {
    metrics.errors.inc({ where: 'queue-stats' })
    log('queue-stats-failed', errorFields(error))
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

/** This instance's own health: a queue that will store nothing more until a restart, or a spool gone read-only. */
async function healthy(queue: Queue, config: Config): Promise<string | null> {
  const failure = queue.failure()?.message
  if (failure !== undefined) return failure
  return config.queue.engine === 'embedded' ? spoolWritable(config.queue.path) : null
}

/** A DSN goes to the sender; to the mailboxes behind it if it is an alias, or a bounce address, of ours. */
function sendersMailboxes(sender: string, routes: RouteSource, { srs }: Config): string[] {
  const address = parseAddress(sender)
  if (address === null) return []
  const original = address.domain === srs.domain ? reverseSrs(srs, address.local, Date.now()) : address
  if (original === null) return []
  const resolution = resolve(routes.current() ?? new Map(), original)
  if (resolution.kind === 'routed') return resolution.destinations.map(formatAddress)
  return resolution.kind === 'unknown-domain' ? [formatAddress(original)] : []
}

function configFile(): string {
  try {
    const { values } = parseArgs({ options: { config: { type: 'string' } } })
    if (values.config !== undefined) return values.config
  } catch (cause) {
    throw new InputError('arguments', [{ key: '', found: String(cause), expected: '--config FILE' }], {
      cause,
    })
  }
  throw new InputError('arguments', [
    { key: '--config', found: 'nothing', expected: 'the configuration file' },
  ])
}

/** Not at the top level of the module: a bundle as CommonJS, which starts faster, knows no await there. */
async function main(): Promise<number> {
  const log = createLog()
  try {
    return await serve(configFile(), log)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    process.stderr.write(`${message}\n`)
    if (error instanceof InputError) return 2
    log('start-failed', errorFields(error))
    return 1
  }
}

void main().then((code) => process.exit(code))
