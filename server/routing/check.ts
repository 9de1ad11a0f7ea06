// Checks a routes table against the configuration. Owns: the rules that need both.
// Fails with InputError: at start the server exits, later the last good table stays in use.
import { InputError } from '../../input/problems.ts'
import type { Config } from '../config/schema.ts'
import { checkSrsAlignment } from '../config/srs-alignment.ts'
import { resolveRecipient, roleMailbox, type Routes } from './table.ts'

/** @throws {InputError} if DMARC aligns the SRS domain with a routed domain, or `postmaster` leads to no mailbox. */
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
      found: 'no such alias, or an alias without a mailbox',
      expected,
    },
  ])
}
