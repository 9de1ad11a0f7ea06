// Decides on a recipient address: an alias, a bounce to an SRS address, or a refusal. Owns: that this is no open relay.
// The server accepts an address only if the routes resolve it, or if it is an SRS address signed by this service.
// Pure; never throws.
import { formatAddress, parseAddress, type Address } from '../address.ts'
import { reverseSrs, type SrsConfig } from '../delivery/srs.ts'
import { isRole, resolveRecipient, type RoleMailbox, type Routes } from '../routing/table.ts'
import { refusals, type SmtpRefusal } from './refusal.ts'

export type RecipientContext = {
  /** The routes in use; null when none were ever loaded. */
  routes: Routes | null
  srs: SrsConfig
  hostname: string
  roles: RoleMailbox
  nowMs: number
}

export type RecipientDecision =
  | { kind: 'accepted'; alias: string; destinations: Address[]; bounce: boolean }
  | { kind: 'refused'; refusal: SmtpRefusal }

/** Characters of old source routing: user%other@here, other!user@here, "user@other"@here. */
const ROUTING_CHARACTERS = /[%!@]/

/**
 * Decides on RCPT TO:<`text`>.
 * @param fromNull whether the reverse path is null, as in every bounce (RFC 5321 section 4.5.5)
 */
export function decideRecipient(
  text: string,
  fromNull: boolean,
  context: RecipientContext,
): RecipientDecision {
  // RFC 5321 section 4.5.1: postmaster without a domain is this host's postmaster.
  const address = parseAddress(text.toLowerCase() === 'postmaster' ? `postmaster@${context.hostname}` : text)
  if (address === null) {
    return refused(text.includes('@[') ? refusals.relay : refusals.badRecipient)
  }
  const alias = formatAddress(address)
  if (address.domain === context.srs.domain && !isRole(address.local))
    return decideBounce(alias, address, fromNull, context)
  if (context.routes === null) return refused(refusals.routesDown)
  const resolution = resolveRecipient(context.routes, address, context.roles)
  switch (resolution.kind) {
    case 'unknown-domain':
      return refused(refusals.relay)
    case 'unknown-alias':
      return refused(ROUTING_CHARACTERS.test(address.local) ? refusals.relay : refusals.unknownAlias)
    case 'alias-loop':
      return refused(refusals.aliasLoop)
    case 'routed':
      if (ROUTING_CHARACTERS.test(address.local)) return refused(refusals.relay)
      return { kind: 'accepted', alias, destinations: resolution.destinations, bounce: false }
  }
}

/** Decides on a bounce to an SRS address. It goes to the original sender, or through our routes if that is an alias. */
function decideBounce(
  alias: string,
  address: Address,
  fromNull: boolean,
  { routes, srs, roles, nowMs }: RecipientContext,
): RecipientDecision {
  const sender = reverseSrs(srs, address.local, nowMs)
  if (sender === null) return refused(refusals.bounceAddress)
  if (!fromNull) return refused(refusals.bounceOnly)
  const resolution = routes === null ? null : resolveRecipient(routes, sender, roles)
  if (resolution === null) return refused(refusals.routesDown)
  if (resolution.kind === 'unknown-domain')
    return { kind: 'accepted', alias, destinations: [sender], bounce: true }
  if (resolution.kind === 'routed')
    return { kind: 'accepted', alias, destinations: resolution.destinations, bounce: true }
  return refused(refusals.unknownAlias)
}

function refused(refusal: SmtpRefusal): RecipientDecision {
  return { kind: 'refused', refusal }
}
