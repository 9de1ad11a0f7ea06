// Options of a fleet of two instances from source, and temporary directories for tests.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FleetOptions } from '../../../infra/local/fleet.ts'
import { sourceLauncher, STATUS_FD, type Launcher } from '../../../infra/local/launcher.ts'
import { stormRoutes, stormServerConfig, shortScenario } from '../../../storm/scenario.ts'

const entry = join(import.meta.dirname, '../../../server/main.ts')

export const source = sourceLauncher(process.execPath, entry)

/** Runs the server in bubblewrap on the machine's own root: the sandbox without the baked root. */
export const sandboxed: Launcher = {
  inside: (outside) => outside,
  command: ({ configFile }) => ({
    file: 'bwrap',
    args: [
      ['--die-with-parent'],
      ['--dev-bind', '/', '/'],
      ['--proc', '/proc'],
      ['--json-status-fd', String(STATUS_FD)],
      ['--', process.execPath, entry, '--config', configFile],
    ].flat(),
    statusFd: true,
  }),
}

export function smallFleet(directory: string, changes: Partial<FleetOptions> = {}): FleetOptions {
  return {
    directory,
    launcher: source,
    // No message is sent, so no relay needs to listen.
    serverConfig: stormServerConfig(shortScenario, 9, true),
    routes: { table: stormRoutes() },
    policy: { ...shortScenario.policy, minInstances: 2 },
    periodMs: 200,
    ...changes,
  }
}

/** `make` creates a temporary directory; `remove` removes all of them. */
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
