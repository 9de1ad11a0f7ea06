// The files of a local fleet: the shared spool and routes, and each instance's configuration, log and admin socket.
// Owns: where they are, what is written into an instance's configuration, that one supervisor has the directory, and how
// much of earlier runs is kept. Fails with the system's error when the directory cannot be written, and by name when
// another supervisor runs there or the socket's path would not fit.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { lockHolder, tryLock, type FileLock } from './file-lock.ts'
import type { InstanceFiles, Launcher } from './launcher.ts'
import { makeSocketDirectory } from './socket-directory.ts'
import { FIRST_PASSED_FD } from '../../contract/ports.ts'

/** sun_path is 108 bytes with its closing zero (unix(7)); Node cuts a longer one silently. */
const MAX_SOCKET_PATH_BYTES = 107

/** Runs whose logs are kept, this one among them. */
const KEPT_RUNS = 5
/** Instances of a run whose logs are kept beside those that run: 8 MiB each at most. */
const KEPT_LOGS = 50

/** The server's configuration except what the fleet decides: listen, queue.path and routes.file. */
export type ServerConfig = Readonly<Record<string, unknown>> & {
  readonly queue?: Readonly<Record<string, unknown>>
  readonly routes?: Readonly<Record<string, unknown>>
  readonly limits?: Readonly<Record<string, unknown>>
  readonly drain?: { readonly timeoutMs?: number }
}

export type FleetFiles = {
  /** Makes an instance's directories and writes its configuration. */
  prepare: (id: string) => InstanceFiles & { logFile: string }
  /** An instance has ended: removes its configuration and socket, and the oldest logs. */
  ended: (id: string) => void
  /** Removes the admin sockets and gives the directory back; logs and spool stay. */
  close: () => void
}

/** What the instances forward: a table to write down for them, or a file that somebody else keeps. */
export type FleetRoutes = { table: unknown } | { file: string }

/**
 * Lays out `directory`: lock, spool/, routes/routes.json, instances/ID/config.json, logs/RUN/ID.log. Admin sockets are in
 * a short-named directory under the system's temporary one.
 * @throws {Error} when another supervisor has the directory
 */
export function createFleetFiles(
  directory: string,
  serverConfig: ServerConfig,
  routes: FleetRoutes,
  inside: Launcher['inside'],
): FleetFiles {
  const spool = join(directory, 'spool')
  mkdirSync(spool, { recursive: true })
  const lock = lockDirectory(directory)
  rmSync(join(directory, 'instances'), { recursive: true, force: true })
  const logs = makeRun(join(directory, 'logs'))
  const routesFile = 'file' in routes ? routes.file : writtenRoutes(directory, routes.table)
  const sockets = makeSocketDirectory()
  const ended: string[] = []
  return {
    prepare: (id) => {
      const own = join(directory, 'instances', id)
      const admin = join(sockets.path, id)
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
      return { ...files, logFile: join(logs, `${id}.log`) }
    },
    ended: (id) => {
      for (const each of [join(directory, 'instances', id), join(sockets.path, id)])
        rmSync(each, { recursive: true, force: true })
      ended.push(id)
      const oldest = ended.length > KEPT_LOGS ? ended.shift() : undefined
      if (oldest === undefined) return
      for (const suffix of ['', '.1']) rmSync(join(logs, `${oldest}.log${suffix}`), { force: true })
    },
    close: () => {
      sockets.remove()
      lock.release()
    },
  }
}

/** Two supervisors on one spool would each count the other's mail as their own, and remove the other's files. */
function lockDirectory(directory: string): FileLock {
  const file = join(directory, 'lock')
  const lock = tryLock(file)
  if (lock !== null) return lock
  const pid = lockHolder(file)
  throw new Error(`${directory}: another supervisor runs here${pid === null ? '' : `, process ${pid}`}`)
}

/** A folder for this run's logs, named by time so that they sort; the oldest runs are removed. */
function makeRun(logs: string): string {
  const run = join(logs, `${new Date().toISOString().replaceAll(':', '-')}-${process.pid}`)
  mkdirSync(run, { recursive: true })
  for (const old of readdirSync(logs).sort().slice(0, -KEPT_RUNS))
    rmSync(join(logs, old), { recursive: true, force: true })
  return run
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
    listen: { smtp: { fd: FIRST_PASSED_FD }, admin: { socket: files.adminSocket } },
    queue: { ...base.queue, path: files.spool },
    routes: { ...base.routes, file: files.routesFile },
  }
}
