// How an instance is started: where it sees the fleet's files, and the command line that runs it.
// Owns: two launchers. The sandbox runs the baked root file system, read-only, in bubblewrap; the source launcher
// runs an entry file with a Node binary, for fast tests. Both make the kernel kill the instance when its supervisor
// dies, whatever it dies of. Nothing is started here, so nothing fails here.
import { basename, dirname, join } from 'node:path'
import { NODE_PATH, SERVER_PATH, SPOOL_PATH } from '../../contract/image-paths.ts'

/** One instance's files, as one side sees them. */
export type InstanceFiles = {
  configFile: string
  /** Alone in its directory, which the instance sees whole: so a replaced file is seen too. */
  routesFile: string
  /** Unix socket of the instance's admin endpoint; alone in its directory, which the instance may write. */
  adminSocket: string
  /** The shared queue. */
  spool: string
}

export type InstanceCommand = {
  file: string
  args: string[]
  /** bubblewrap tells on fd 4, as JSON lines, which process it started; without it the child itself is the server. */
  statusFd: boolean
}

export type Launcher = {
  /** The same files as the instance sees them; goes into its configuration. */
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
 * Instances of a baked root: read-only, a tmpfs for the rest, no capabilities, the machine's network.
 * The PID namespace is shared on purpose: lmdb's writer lock goes by process and thread ids, and writers in PID
 * namespaces of their own starve each other.
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
    // Started by root, bubblewrap would keep root's.
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
 * Instances straight from source, without a sandbox.
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
