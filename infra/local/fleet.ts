// A fleet on one machine: a supervisor in this process, server processes as its children, one port.
// Owns: the connection of the parts, from the listening socket to the last drain. The start fails, with the end of the
// instance's log, when the first instances do not get into service. Later the group replaces failed instances. When this
// process dies, the kernel kills every instance (see launcher.ts).
import { EventEmitter } from 'node:events'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import type { ScalingPolicy } from '../scaling/policy.ts'
import { startControlLoop, type InstanceCounts } from './control-loop.ts'
import type { FleetEvents, FleetRow, ScaleEvent } from './fleet-events.ts'
import { createFleetFiles, type FleetFiles, type FleetRoutes, type ServerConfig } from './fleet-files.ts'
import { createGroup, type Group } from './group.ts'
import { launchInstance, type InstanceView } from './instance.ts'
import type { Launcher } from './launcher.ts'
import { bindListeningSocket, type ListeningSocket } from './listening-socket.ts'
import { createScraper } from './scraper.ts'

export type FleetOptions = {
  /** For spool, routes, configuration and logs. Created when missing. Each fleet needs its own. */
  directory: string
  host?: string
  /** Default, and 0: a free port. */
  port?: number
  launcher: Launcher
  serverConfig: ServerConfig
  routes: FleetRoutes
  policy: ScalingPolicy
  /** Time between scaling decisions. */
  periodMs: number
  /** A later answer counts as none. */
  scrapeTimeoutMs?: number
  readyTimeoutMs?: number
  /** After it, SIGKILL. Default: the server's own drain timeout plus 5 s for its exit. */
  drainTimeoutMs?: number
  /** Aborting it stops the fleet, also during its start. */
  signal?: AbortSignal
}

export type Fleet = {
  host: string
  port: number
  /** The clock of timeline and scale events: ms since the fleet started. */
  nowMs: () => number
  instances: () => InstanceView[]
  /** The last {@link MAX_ROWS} periods. */
  timeline: readonly FleetRow[]
  scaleEvents: readonly ScaleEvent[]
  events: EventEmitter<FleetEvents>
  /** Drains all instances and closes the port, within drainTimeoutMs. May be called twice. */
  stop: () => Promise<void>
}

/** A cold start on a loaded 2-core machine takes 3 s. After ten times that, the instance hangs. */
const READY_TIMEOUT_MS = 30_000
/** The server's default drain timeout. */
const DRAIN_TIMEOUT_MS = 30_000
/** How long the server's exit takes after its drain timeout. */
const EXIT_MS = 5_000
/** An hour of one-second periods. */
const MAX_ROWS = 3600
/** How much of a failed instance's log the error shows. */
const LOG_TAIL_BYTES = 2048

/**
 * Starts `policy.minInstances` instances and the control loop. Resolves when they are in service.
 * @throws {Error} when the port is in use, or when an instance ends before it is in service
 */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { policy, launcher, host = '127.0.0.1' } = options
  options.signal?.throwIfAborted()
  const startedMs = performance.now()
  const nowMs = () => Math.round(performance.now() - startedMs)
  const files = createFleetFiles(options.directory, serverConfigOf(options), options.routes, launcher.inside)
  const socket = bindSocket(host, options.port ?? 0, files)
  const events = new EventEmitter<FleetEvents>()
  const group = groupOf(options, socket.fd, files, events)
  const record = recordOf(events)
  let loop = { stop: async () => {} }
  let stopping: Promise<void> | undefined
  const stop = () =>
    (stopping ??= (async () => {
      socket.refuseClients()
      await Promise.all([loop.stop(), group.stop()])
      await socket.close()
      files.close()
    })())
  options.signal?.addEventListener('abort', () => void stop(), { once: true })

  try {
    await waitForFirstInstances(group, events, policy.minInstances, options.signal)
  } catch (error) {
    await stop()
    throw error
  }
  loop = startControlLoop({
    policy,
    periodMs: options.periodMs,
    desired: policy.minInstances,
    nowMs,
    scrape: createScraper(group, options.scrapeTimeoutMs ?? Math.max(250, options.periodMs)),
    instanceCounts: () => countInstances(group, policy.warmupMs),
    onRow: (row) => events.emit('row', row),
    onScale: (event) => {
      events.emit('scale', event)
      group.setDesired(event.to)
    },
  })
  return { host, port: socket.port, nowMs, instances: group.views, ...record, events, stop }
}

/** Instances and policy must count refused messages over the same window. */
function serverConfigOf({ serverConfig, policy }: FleetOptions): ServerConfig {
  return { ...serverConfig, limits: { ...serverConfig.limits, refusedWindowMs: policy.refusedWindowMs } }
}

function bindSocket(host: string, port: number, files: FleetFiles): ListeningSocket {
  try {
    return bindListeningSocket(host, port)
  } catch (error) {
    files.close()
    throw error
  }
}

/** The server's own drain timeout. */
function drainMs({ drain }: ServerConfig): number {
  return drain?.timeoutMs ?? DRAIN_TIMEOUT_MS
}

function groupOf(
  options: FleetOptions,
  listenFd: number,
  files: FleetFiles,
  events: EventEmitter<FleetEvents>,
): Group {
  return createGroup({
    launch: (id, onState) => {
      const own = files.prepare(id)
      return launchInstance({
        ...own,
        id,
        command: options.launcher.command(own),
        listenFd,
        readyTimeoutMs: options.readyTimeoutMs ?? READY_TIMEOUT_MS,
        drainTimeoutMs: options.drainTimeoutMs ?? drainMs(options.serverConfig) + EXIT_MS,
        onState,
      })
    },
    onInstance: (view) => {
      if (view.state === 'Terminated') files.ended(view.id)
      events.emit('instance', view)
    },
  })
}

function recordOf(events: EventEmitter<FleetEvents>): Pick<Fleet, 'timeline' | 'scaleEvents'> {
  const timeline: FleetRow[] = []
  const scaleEvents: ScaleEvent[] = []
  events.on('row', (row) => {
    timeline.push(row)
    if (timeline.length > MAX_ROWS) timeline.shift()
  })
  events.on('scale', (event) => {
    scaleEvents.push(event)
    if (scaleEvents.length > MAX_ROWS) scaleEvents.shift()
  })
  return { timeline, scaleEvents }
}

function countInstances(group: Group, warmupMs: number): InstanceCounts {
  const views = group.living().map((instance) => instance.view())
  const inService = views.filter(({ state }) => state === 'InService')
  const warm = inService.filter(
    ({ inServiceAtMs }) => Date.now() - (inServiceAtMs ?? Infinity) >= warmupMs,
  ).length
  return {
    launching: views.filter(({ state }) => state === 'Pending').length,
    warming: inService.length - warm,
    warm,
    terminating: views.filter(({ state }) => state === 'Terminating').length,
  }
}

/** Launches `count` instances. Rejects when one of them ends, so that a bad configuration shows at once. */
async function waitForFirstInstances(
  group: Group,
  events: EventEmitter<FleetEvents>,
  count: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  let onInstance: (view: InstanceView) => void = () => {}
  const logs = new Map<string, string>()
  const settled = new Promise<void>((resolve, reject) => {
    onInstance = (view) => {
      if (view.state === 'Terminated') reject(new Error(startFailure(view, logs.get(view.id))))
      else if (group.living().filter((instance) => instance.view().state === 'InService').length >= count)
        resolve()
    }
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
  events.on('instance', onInstance)
  group.setDesired(count)
  for (const { view, logFile } of group.living()) logs.set(view().id, logFile)
  await settled.finally(() => events.off('instance', onInstance))
}

function startFailure(
  { id, cause, exitCode, exitSignal }: InstanceView,
  logFile: string | undefined,
): string {
  const how = exitSignal ?? (exitCode === null ? 'could not be started' : `exit code ${exitCode}`)
  const tail = logFile === undefined ? '' : logTail(logFile)
  return `instance ${id} did not get into service: ${cause ?? 'ended'} (${how})${tail === '' ? '' : `\n${tail}`}`
}

function logTail(file: string): string {
  try {
    const fd = openSync(file, 'r')
    try {
      const { size } = fstatSync(fd)
      const buffer = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES))
      readSync(fd, buffer, 0, buffer.length, size - buffer.length)
      return buffer.toString().trim()
    } finally {
      closeSync(fd)
    }
  } catch {
    return ''
  }
}
