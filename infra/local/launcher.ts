// The command line that runs an instance, and the paths of its files as it sees them.
// Two launchers: the sandbox runs the baked root, read-only, in bubblewrap; the source launcher runs an entry file with
// Node, for fast tests. With both, the kernel kills the instance when its supervisor dies. Starts nothing itself.
import { basename, dirname, join } from 'node:path'
import { NODE_PATH, SERVER_PATH, SPOOL_PATH } from '../../contract/image-paths.ts'

/** Paths of an instance's files, outside or inside its sandbox. */
export type InstanceFiles = {
  configFile: string
  /** Alone in its directory. The sandbox mounts the directory, so that the instance sees a replaced file. */
  routesFile: string
  /** Unix socket of the admin endpoint. Alone in its directory, which the instance may write. */
  adminSocket: string
  /** The shared queue. */
  spool: string
}

export type InstanceCommand = {
  file: string
  args: string[]
  /** Whether bubblewrap reports the server's pid on fd 4, as JSON lines. If not, the child itself is the server. */
  statusFd: boolean
}

export type Launcher = {
  /** The paths as the instance sees them, for its configuration. */
  inside: (outside: InstanceFiles) => InstanceFiles
  command: (outside: InstanceFiles) => InstanceCommand
}

/** Where bubblewrap writes its status. */
export const STATUS_FD = 4

const INSIDE = {
  configFile: '/run/mailfleet/config.json',
  routesDirectory: '/run/mailfleet/routes',
  adminSocket: '/run/mailfleet-admin/admin.sock',
  spool: SPOOL_PATH,
}

/**
 * Runs instances of a baked root: read-only, tmpfs for the rest, no capabilities, the machine's network.
 * They share the machine's PID namespace: lmdb's writer lock uses process and thread ids, and writers in different PID
 * namespaces starve each other.
 * @param root the baked root file system, a directory
 */
export function sandboxLauncher(root: string): Launcher {
  return {
    inside: ({ routesFile }) => ({
      configFile: INSIDE.configFile,
      routesFile: join(INSIDE.routesDirectory, basename(routesFile)),
      adminSocket: INSIDE.adminSocket,
      spool: INSIDE.spool,
    }),
    command: (outside) => ({ file: 'bwrap', args: sandboxArguments(root, outside), statusFd: true }),
  }
}

function sandboxArguments(root: string, outside: InstanceFiles): string[] {
  const options = [
    ['--die-with-parent'],
    // Under root, bubblewrap keeps root's capabilities by default.
    ['--cap-drop', 'ALL'],
    ['--unshare-ipc'],
    ['--unshare-uts'],
    ['--ro-bind', root, '/'],
    ['--dev', '/dev'],
    ['--proc', '/proc'],
    ['--tmpfs', '/tmp'],
    ['--tmpfs', '/run'],
    ['--bind', outside.spool, INSIDE.spool],
    ['--ro-bind', outside.configFile, INSIDE.configFile],
    ['--ro-bind', dirname(outside.routesFile), INSIDE.routesDirectory],
    ['--bind', dirname(outside.adminSocket), dirname(INSIDE.adminSocket)],
    ['--chdir', '/'],
    ['--clearenv'],
    ['--setenv', 'NODE_ENV', 'production'],
    ['--json-status-fd', String(STATUS_FD)],
  ]
  const server = [NODE_PATH, SERVER_PATH]
  return [...options.flat(), '--', ...server, '--config', INSIDE.configFile]
}

/**
 * Runs instances from source, without a sandbox.
 * @param node a Node binary
 * @param entry the server's entry file
 */
export function sourceLauncher(node: string, entry: string): Launcher {
  return {
    inside: (outside) => outside,
    command: ({ configFile }) => ({
      file: 'setpriv',
      args: ['--pdeathsig', 'KILL', '--', node, entry, '--config', configFile],
      statusFd: false,
    }),
  }
}
