// A fleet of two instances from source, in a directory that is removed after the tests.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FleetOptions } from '../../../infra/local/fleet.ts'
import { sourceLauncher, STATUS_FD, type Launcher } from '../../../infra/local/launcher.ts'
import { stormRoutes, stormServerConfig, shortScenario } from '../../../storm/scenario.ts'

const entry = join(import.meta.dirname, '../../../server/main.ts')

export const source = sourceLauncher(process.execPath, entry)

/** The server inside bubblewrap, on the machine's own root: everything of the sandbox but the baked root. */
export const sandboxed: Launcher = {
  inside: (outside) => outside,
  command: ({ configFile }) => ({
    file: 'bwrap',
    args: [
      ...['--die-with-parent'],
      ...['--dev-bind', '/', '/'],
      ...['--proc', '/proc'],
      ...['--json-status-fd', String(STATUS_FD)],
      ...['--', process.execPath, entry, '--config', configFile],
    ],
    statusFd: true,
  }),
}

export function smallFleet(directory: string, changes: Partial<FleetOptions> = {}): FleetOptions {
  return {
    directory,
    launcher: source,
    // No message is sent: nothing needs to listen at the relay's port.
    serverConfig: stormServerConfig(shortScenario, 9, true),
    routes: { table: stormRoutes() },
    policy: { ...shortScenario.policy, minInstances: 2 },
    periodMs: 200,
    ...changes,
  }
}

/** A directory under the system's temporary one; `remove` removes all that were made. */
export function scratchDirectories(): { make: () => string; remove: () => void } {
  const made: string[] = []
  return {
    make: () => {
      const directory = mkdtempSync(join(tmpdir(), 'mailfleet-test-'))
      made.push(directory)
      return directory
    },
    remove: () => {
      for (const directory of made) rmSync(directory, { recursive: true, force: true })
    },
  }
}
