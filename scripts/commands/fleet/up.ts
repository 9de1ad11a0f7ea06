// `mailfleet fleet up`: runs a fleet of the newest boot-tested image on this machine until it is told to stop.
// Checks everything before it starts anything. Prints one line for each event.
import { once } from 'node:events'
import { join } from 'node:path'
import type { Command } from 'commander'
import { readSignedReceipt } from '../../../images/boot/receipt.ts'
import { trustedReceiptKeys } from '../../../images/boot/receipt-key.ts'
import { extractRoot } from '../../../images/bake/extract-root.ts'
import { readFleetConfig, type FleetConfig } from '../../../infra/local/fleet-config.ts'
import { startFleet, type Fleet } from '../../../infra/local/fleet.ts'
import { sandboxLauncher } from '../../../infra/local/launcher.ts'
import { InputError, formatValue } from '../../../input/problems.ts'
import { checkConfig, type Config } from '../../../server/config/schema.ts'
import { checkRoutes } from '../../../server/routing/check.ts'
import { openFileSource } from '../../../server/routing/file-source.ts'
import type { Routes } from '../../../server/routing/table.ts'
import { checkSrsAlignment } from '../../../server/config/srs-alignment.ts'
import { bakedImage } from '../../baked-image.ts'
import type { CommandContext } from '../../options.ts'
import type { Project } from '../../project.ts'

export default function addFleetUp(fleet: Command, { project, signal }: CommandContext): void {
  fleet
    .command('up')
    .description('run a fleet of the newest boot-tested image until it is told to stop; then drain it')
    .requiredOption('--config <file>', 'the fleet’s configuration (JSON or YAML): docs/fleet.md')
    .action(async ({ config }: { config: string }) => {
      process.exitCode = await fleetUp({ project, configFile: config, signal })
    })
}

/** Resolves when the fleet was told to stop and every instance has drained. */
async function fleetUp(o: { project: Project; configFile: string; signal: AbortSignal }): Promise<number> {
  const config = readFleetConfig(o.configFile)
  const server = checkServerPart(o.configFile, config)
  await checkSrsAlignment(o.configFile, server.srs, [server.hostname])
  const check = (place: string, routes: Routes) => checkRoutes(place, routes, server)
  ;(await openFileSource({ file: config.routesFile, pollMs: 1000, check, onReload: () => {} })).close()
  const image = testedImage(o.project)
  const say = (line: string): void => console.log(`${new Date().toISOString()} ${line}`)
  const root = await extractRoot(image, { cacheDir: o.project.cacheDir, onProgress: say })
  say(`image ${image.digest.slice(0, 16)}`)
  const fleet = await startFleet({
    ...config.listen,
    directory: config.directory,
    routes: { file: config.routesFile },
    serverConfig: config.server,
    policy: config.policy,
    periodMs: config.periodMs,
    launcher: sandboxLauncher(root),
    signal: o.signal,
  })
  say(`listening on ${fleet.host}:${fleet.port}`)
  for (const { id, state } of fleet.instances()) say(`${id} ${state}`)
  fleet.events.on('instance', ({ id, state, cause }) =>
    say(`${id} ${state}${cause === null ? '' : `: ${cause}`}`),
  )
  fleet.events.on('scale', ({ from, to, reason }) => say(`${from} → ${to} instances: ${reason}`))
  sayFaults(fleet, say)
  if (!o.signal.aborted) await once(o.signal, 'abort')
  say('draining')
  await fleet.stop()
  say('stopped')
  return 0
}

/** Refusals that more instances cannot prevent need the operator. */
function sayFaults(fleet: Fleet, say: (line: string) => void): void {
  let faulty = false
  fleet.events.on('row', ({ refusedForFault }) => {
    if (refusedForFault > 0 === faulty) return
    faulty = !faulty
    if (!faulty) say('no more mail is refused because something is full or broken')
    else
      say('mail is refused because something is full or broken, see the logs: more instances would not help')
  })
}

/** Checks the server's part by the server's own schema. Errors name the keys of the fleet's file. */
function checkServerPart(file: string, { server, directory, routesFile }: FleetConfig): Config {
  const decided = ['listen', 'routes', 'tls', 'aws', 'fleet'].filter((key) => key in server)
  const problems = decided.map((key) => ({
    key: `server.${key}`,
    found: 'this key',
    expected: 'no such key in a fleet',
  }))
  const { engine = 'embedded', ...queue } = (server['queue'] ?? {}) as Record<string, unknown>
  if (engine !== 'embedded') {
    const expected = 'embedded: instances on one machine share its disk'
    problems.push({ key: 'server.queue.engine', found: formatValue(engine), expected })
  }
  const { refusedWindowMs } = (server['limits'] ?? {}) as { refusedWindowMs?: unknown }
  if (refusedWindowMs !== undefined) {
    const expected = 'no such key in a fleet: policy.refusedWindowMs decides'
    problems.push({ key: 'server.limits.refusedWindowMs', found: 'this key', expected })
  }
  let config: Config | null = null
  try {
    config = checkConfig(file, {
      ...Object.fromEntries(Object.entries(server).filter(([key]) => !decided.includes(key))),
      listen: { smtp: { fd: 3 }, admin: { socket: '/run/admin.sock' } },
      queue: { ...queue, path: join(directory, 'spool') },
      routes: { file: routesFile },
    })
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    problems.push(...error.problems.map((problem) => ({ ...problem, key: `server.${problem.key}` })))
  }
  if (problems.length > 0 || config === null) throw new InputError(file, problems)
  return config
}

/** The newest image. It must have a receipt signed by a trusted key: an image that was not booted is not run. */
function testedImage(project: Project): { digest: string; folder: string } {
  const { digest, folder } = bakedImage(project)
  readSignedReceipt(folder, digest, trustedReceiptKeys(process.env))
  return { digest, folder }
}
