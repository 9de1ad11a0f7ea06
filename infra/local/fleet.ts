// The embedded fleet: one supervisor in this process, instances of the server as its children, one port.
// Owns: putting the parts together, from the listening socket to the drain of the last instance. Starting fails, with
// the end of the instance's log, when the first instances do not get into service; later failures are instances that
// are replaced. When this process dies the kernel ends every instance (see launcher.ts).
import { EventEmitter } from 'node:events'
import type { ScalingPolicy } from '../scaling/policy.ts'
import { startControlLoop, type InstanceCounts } from './control-loop.ts'
import type { FleetEvents, FleetRow, ScaleEvent } from './fleet-events.ts'
import { createFleetFiles, type FleetFiles, type FleetRoutes, type ServerConfig } from './fleet-files.ts'
import { createGroup, type Group } from './group.ts'
import { launchInstance, type InstanceView } from './instance.ts'
import type { Launcher } from './launcher.ts'
import { bindListeningSocket, type ListeningSocket } from './listening-socket.ts'
import { createScraper } from './scraper.ts'
import { waitForFirstInstances } from './start-up.ts'

export type FleetOptions = {
  /** For spool, routes, configuration and logs; made when missing. Two fleets never share one. */
  directory: string
  host?: string
  /** 0 or nothing: a free one. */
  port?: number
  launcher: Launcher
  serverConfig: ServerConfig
  routes: FleetRoutes
  policy: ScalingPolicy
  /** From one decision to the next. */
  periodMs: number
  /** An instance that answers later than this has not answered. */
  scrapeTimeoutMs?: number
  readyTimeoutMs?: number
  /** The server's own bound plus what its exit takes: past it, SIGKILL. */
  drainTimeoutMs?: number
  /** Aborted: stop() is called, from wherever the start-up is. */
  signal?: AbortSignal
}

export type Fleet = {
  host: string
  port: number
  /** Clock of timeline and scale events: ms since the fleet started. */
  nowMs: () => number
  instances: () => InstanceView[]
  /** The last {@link MAX_ROWS} periods. */
  timeline: readonly FleetRow[]
  scaleEvents: readonly ScaleEvent[]
  events: EventEmitter<FleetEvents>
  /** Drains all instances and gives the port back. Bounded by drainTimeoutMs; may be called twice. */
  stop: () => Promise<void>
}

/** A cold start on a loaded 2-core machine takes 3 s; ten times that is a hang. */
const READY_TIMEOUT_MS = 30_000
/** The server's default drain bound. */
const DRAIN_TIMEOUT_MS = 30_000
/** What an exit takes beyond the server's own bound. */
const EXIT_MS = 5_000
/** An hour of one-second periods. */
const MAX_ROWS = 3600

/**
 * Starts `policy.minInstances` instances and the control loop; resolves when they are in service.
 * @throws {Error} when the port is taken, or an instance ends before it is in service
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
      socket.answer()
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
    population: () => populationOf(group, policy.warmupMs),
    onRow: (row) => events.emit('row', row),
    onScale: (event) => {
      events.emit('scale', event)
      group.setDesired(event.to)
    },
  })
  return { host, port: socket.port, nowMs, instances: group.views, ...record, events, stop }
}

/** Instances count a refused message once in the window in which the policy counts it. */
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

/** The server's own bound on its drain. */
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

function populationOf(group: Group, warmupMs: number): InstanceCounts {
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
