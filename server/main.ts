// The server process: config → parts → run → drain. Exit 0 after a drain, 2 for bad input, 1 when it cannot start.
// Owns: the order in which parts start and stop. Usage: node server/main.ts --config FILE
import { parseArgs } from 'node:util'
import { InputError } from '../input/problems.ts'
import { loadConfig, type Config, type TlsFiles } from './config.ts'
import { createDeliverer } from './delivery/deliver.ts'
import { startForwarder } from './delivery/forwarder.ts'
import { spoolWritable, startAdmin } from './fleet/admin.ts'
import { drainOnSignal } from './fleet/drain.ts'
import { createMetrics } from './fleet/metrics.ts'
import { createLog, errorFields, type Log } from './log.ts'
import { formatAddress, parseAddress } from './names.ts'
import { openQueue } from './queue/embedded.ts'
import { openFileSource, type RouteSource } from './routing/file-source.ts'
import { resolve } from './routing/table.ts'
import { reverseSrs } from './delivery/srs.ts'
import { watchLoad } from './smtp/admission.ts'
import { startListener } from './smtp/listener.ts'
import { createTransactions } from './smtp/transaction.ts'

async function run({ config, tls }: { config: Config; tls: TlsFiles | null }, log: Log): Promise<void> {
  const routes = await openFileSource({
    ...config.routes,
    onReload: (report) => {
      metrics.routesReloads.inc({ result: report.result })
      log(
        `routes-${report.result}`,
        report.result === 'broken' ? errorFields(report.error) : { domains: report.domains },
      )
    },
  })
  const queue = await openQueue(config.queue)
  const metrics = createMetrics(() => queue.stats())
  const watch = watchLoad(
    () => queue.stats(),
    (error) => {
      metrics.errors.inc({ where: 'queue-stats' })
      log('queue-stats-failed', errorFields(error))
    },
  )
  const deliverer = createDeliverer(config)
  const forwarder = startForwarder({
    ...config.delivery,
    queue,
    metrics,
    log,
    context: {
      queue,
      deliver: deliverer.deliver,
      sendersMailboxes: (sender) => sendersMailboxes(sender, routes, config),
      srs: config.srs,
      hostname: config.hostname,
      retry: config.retry,
      relayed: config.delivery.relay !== undefined,
      now: Date.now,
      random: Math.random,
    },
  })
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
    healthy: () => queue.failure()?.message ?? spoolWritable(config.queue.path),
    ready: () => (listener.isOpen() ? (routes.current() === null ? 'routes not loaded' : null) : 'draining'),
    log,
  })
  log('listening', {
    smtp: listener.address,
    admin: admin.address,
    pid: process.pid,
    startedMs: Math.round(performance.now()),
  })

  await drainOnSignal({
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

const log = createLog()
try {
  const { values } = parseArgs({ options: { config: { type: 'string' } } })
  if (values.config === undefined) {
    throw new InputError('arguments', [
      { key: '--config', found: 'nothing', expected: 'the configuration file' },
    ])
  }
  await run(loadConfig(values.config), log)
  process.exit(0)
} catch (error) {
  if (error instanceof InputError) {
    process.stderr.write(`${error.message}\n`)
    process.exit(2)
  }
  log('start-failed', errorFields(error))
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
