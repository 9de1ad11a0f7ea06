// The files of a fleet on one machine: spool, routes, and each instance's configuration, log and admin socket.
// Owns: their places, the lock that allows one supervisor per directory, and how many old logs stay. Fails with the
// system's error, when another supervisor has the directory, or when a socket's path is too long.
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { lockHolder, tryLock, type FileLock } from './file-lock.ts'
import type { InstanceFiles, Launcher } from './launcher.ts'
import { FIRST_PASSED_FD } from '../../contract/ports.ts'

/** sun_path has 108 bytes with its terminating zero (unix(7)). Node truncates a longer path silently. */
const MAX_SOCKET_PATH_BYTES = 107

/** Runs whose logs stay, including this one. */
const KEPT_RUNS = 5
/** Terminated instances whose logs stay: 8 MiB each at most. */
const KEPT_LOGS = 50

const SOCKET_DIRECTORY = /^mailfleet-sockets-[A-Za-z0-9]{6}$/

/** The server's configuration without the keys that the fleet sets: listen, queue.path and routes.file. */
export type ServerConfig = Readonly<Record<string, unknown>> & {
  readonly queue?: Readonly<Record<string, unknown>>
  readonly routes?: Readonly<Record<string, unknown>>
  readonly limits?: Readonly<Record<string, unknown>>
  readonly drain?: { readonly timeoutMs?: number }
}

export type FleetFiles = {
  /** Creates an instance's directories and writes its configuration. */
  prepare: (id: string) => InstanceFiles & { logFile: string }
  /** Removes a terminated instance's configuration and socket, and the oldest log. */
  ended: (id: string) => void
  /** Removes the admin sockets and releases the lock. Logs and spool stay. */
  close: () => void
}

/** The instances' routes: a table that is written to a file for them, or the path of an existing file. */
export type FleetRoutes = { table: unknown } | { file: string }

/**
 * Lays out `directory`: lock, spool/, routes/routes.json, instances/ID/config.json, logs/RUN/ID.log. Admin sockets are
 * in a directory with a short name under the system's temporary one: a socket's path is bounded.
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
  const logs = makeLogFolder(join(directory, 'logs'))
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
          `${files.adminSocket}: longer than a socket's path may be; set TMPDIR to a shorter path`,
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

/** Two supervisors on one spool would count each other's mail, and remove each other's files. */
function lockDirectory(directory: string): FileLock {
  const file = join(directory, 'lock')
  const lock = tryLock(file)
  if (lock !== null) return lock
  const pid = lockHolder(file)
  throw new Error(
    `${directory}: another supervisor uses this directory${pid === null ? '' : `, process ${pid}`}`,
  )
}

/** Creates this run's log folder, named by time, and removes those of the oldest runs. */
function makeLogFolder(logs: string): string {
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

type SocketDirectory = { path: string; remove: () => void }

/** Removes the directories of killed supervisors, whose locks have ended, and creates one for this supervisor. */
function makeSocketDirectory(): SocketDirectory {
  for (const name of readdirSync(tmpdir()))
    if (SOCKET_DIRECTORY.test(name)) removeIfAbandoned(join(tmpdir(), name))
  const path = mkdtempSync(join(tmpdir(), 'mailfleet-sockets-'))
  const lock = tryLock(join(path, 'new'))
  // Renamed only after it is locked, so that no other supervisor finds it unlocked and removes the directory.
  renameSync(join(path, 'new'), join(path, 'lock'))
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true })
      lock?.release()
    },
  }
}

function removeIfAbandoned(path: string): void {
  try {
    const found = lstatSync(path)
    if (!found.isDirectory() || found.uid !== process.getuid?.()) return
    if (!lstatSync(join(path, 'lock')).isFile()) return
    const lock = tryLock(join(path, 'lock'))
    if (lock === null) return
    rmSync(path, { recursive: true, force: true })
    lock.release()
  } catch {
    // Already removed, or not locked yet.
  }
}
