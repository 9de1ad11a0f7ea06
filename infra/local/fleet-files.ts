// The files of a local fleet: the shared spool and routes, and each instance's configuration, log and admin socket.
// Owns: where they are and what is written into an instance's configuration. Fails with the system's error when the
// directory cannot be written, and by name when the socket's path would not fit.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { LISTEN_FD, type InstanceFiles, type Launcher } from './launcher.ts'

/** sun_path is 108 bytes with its closing zero (unix(7)); Node cuts a longer one silently. */
const MAX_SOCKET_PATH_BYTES = 107

/** The server's configuration except what the fleet decides: listen, queue.path and routes.file. */
export type ServerConfig = Readonly<Record<string, unknown>> & {
  readonly queue?: Readonly<Record<string, unknown>>
  readonly routes?: Readonly<Record<string, unknown>>
  readonly limits?: Readonly<Record<string, unknown>>
}

export type FleetFiles = {
  /** Makes an instance's directories and writes its configuration. */
  prepare: (id: string) => InstanceFiles & { logFile: string }
  /** Removes the admin sockets; logs, configuration and spool stay. */
  close: () => void
}

/** What the instances forward: a table to write down for them, or a file that somebody else keeps. */
export type Routes = { table: unknown } | { file: string }

/**
 * Lays out `directory`: spool/, routes/routes.json, instances/ID/config.json, logs/ID.log. Admin sockets are in a
 * short-named directory under the system's temporary one, since their paths are bounded.
 */
export function createFleetFiles(
  directory: string,
  serverConfig: ServerConfig,
  routes: Routes,
  inside: Launcher['inside'],
): FleetFiles {
  const spool = join(directory, 'spool')
  for (const each of [spool, join(directory, 'logs')]) mkdirSync(each, { recursive: true })
  const routesFile = 'file' in routes ? routes.file : writtenRoutes(directory, routes.table)
  const sockets = mkdtempSync(join(tmpdir(), 'mailfleet-'))
  return {
    prepare: (id) => {
      const own = join(directory, 'instances', id)
      const admin = join(sockets, id)
      for (const each of [own, admin]) mkdirSync(each, { recursive: true })
      const files = {
        configFile: join(own, 'config.json'),
        routesFile,
        adminSocket: join(admin, 'admin.sock'),
        spool,
      }
      if (Buffer.byteLength(files.adminSocket) > MAX_SOCKET_PATH_BYTES) {
        throw new Error(
          `${files.adminSocket}: longer than a socket's path may be; set TMPDIR to a shorter one`,
        )
      }
      writeFileSync(files.configFile, JSON.stringify(instanceConfig(serverConfig, inside(files)), null, 2))
      return { ...files, logFile: join(directory, 'logs', `${id}.log`) }
    },
    close: () => rmSync(sockets, { recursive: true, force: true }),
  }
}

function writtenRoutes(directory: string, table: unknown): string {
  const routesFile = join(directory, 'routes', 'routes.json')
  mkdirSync(dirname(routesFile), { recursive: true })
  writeFileSync(routesFile, JSON.stringify(table, null, 2))
  return routesFile
}

function instanceConfig(base: ServerConfig, files: InstanceFiles): object {
  return {
    ...base,
    listen: { smtp: { fd: LISTEN_FD }, admin: { socket: files.adminSocket } },
    queue: { ...base.queue, path: files.spool },
    routes: { ...base.routes, file: files.routesFile },
  }
}
