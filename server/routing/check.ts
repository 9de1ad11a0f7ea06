// Whether a routes table goes with the rest of the configuration. Owns: the rules that need both.
// Fails with InputError: at the start the table is refused, later the last good table stays in force.
import { InputError } from '../../input/problems.ts'
import type { Config } from '../config/schema.ts'
import { checkSrsAlignment } from '../config/srs-alignment.ts'
import { resolveRecipient, roleMailbox, type Routes } from './table.ts'

/** @throws {InputError} if the SRS domain is aligned with a routed domain, or no mailbox is behind `postmaster`. */
export async function checkRoutes(
  place: string,
  routes: Routes,
  config: Pick<Config, 'srs' | 'hostname' | 'postmaster'>,
): Promise<void> {
  await checkSrsAlignment(place, config.srs, routes.keys())
  const roles = roleMailbox(config)
  const { postmaster } = roles
  if (!routes.has(postmaster.domain) || resolveRecipient(routes, postmaster, roles).kind === 'routed') return
  const expected = `an alias ${postmaster.local}, since the setting postmaster is ${config.postmaster}`
  throw new InputError(place, [
    {
      key: `domains.${postmaster.domain}.aliases`,
      found: 'no such alias, or one that leads nowhere',
      expected,
    },
  ])
}
