// The routes table: its schema, and the mailboxes that an address is forwarded to. Owns: alias syntax, plus-tags, the
// catch-all, alias chains and their limits. Pure. parseRoutes throws InputError; resolveRecipient never throws.
import * as v from 'valibot'
import { checkInput, InputError, type Problem } from '../../input/problems.ts'
import { addressKey, formatAddress, parseAddress, parseDomain, type Address } from '../address.ts'

/** Longest chain of aliases. A longer chain is taken for a mistake. */
const CHAIN_LENGTH = 10

/** Most mailboxes of one alias, chains included. More is a mailing list, which needs list handling. */
const ALIAS_DESTINATIONS = 100

const CATCH_ALL = '*'

/** Local parts for which every domain must accept mail (RFC 5321 section 4.5.1, RFC 2142 sections 2 and 4). */
const ROLES = new Set(['postmaster', 'abuse'])

const Destination = v.pipe(
  v.string(),
  v.check((text) => parseAddress(text) !== null, 'a mailbox such as someone@example.org'),
)

const RoutesFile = v.strictObject({
  domains: v.record(
    v.string(),
    v.strictObject({
      aliases: v.record(
        v.string(),
        v.pipe(
          v.array(Destination),
          v.minLength(1, 'at least one mailbox'),
          v.maxLength(ALIAS_DESTINATIONS, `at most ${ALIAS_DESTINATIONS} mailboxes`),
        ),
      ),
    }),
  ),
})

/** Domain → alias (both in lower case) → destinations. Never changed; a reload replaces the whole table. */
export type Routes = ReadonlyMap<string, ReadonlyMap<string, readonly Address[]>>

/** Where mail for postmaster@ and abuse@ goes when no alias matches it. */
export type RoleMailbox = {
  postmaster: Address
  /** The host's own names, which have these two addresses besides the routed domains. */
  ownNames: readonly string[]
}

/** The role mailbox of a configuration. The schema has checked the address. */
export function roleMailbox(config: {
  postmaster: string
  hostname: string
  srs: { domain: string }
}): RoleMailbox {
  const postmaster = parseAddress(config.postmaster)
  if (postmaster === null) throw new TypeError(`not an address: ${config.postmaster}`)
  return { postmaster, ownNames: [config.hostname, config.srs.domain] }
}

export function isRole(local: string): boolean {
  return ROLES.has(local.toLowerCase())
}

export type Resolution =
  | { kind: 'routed'; destinations: Address[] }
  /** The domain is not routed here: accepting the message would be relaying. */
  | { kind: 'unknown-domain' }
  | { kind: 'unknown-alias' }
  /** The aliases lead only to each other. */
  | { kind: 'alias-loop' }

/**
 * Builds the routes from the parsed content of `file`.
 * @throws {InputError} with every invalid domain, alias and mailbox, and every duplicate.
 */
export function parseRoutes(file: string, value: unknown): Routes {
  const parsing: Parsing = { problems: [], routes: new Map() }
  for (const slice of slicesOf(value)) {
    try {
      addRoutes(parsing, checkInput(file, RoutesFile, slice))
    } catch (error) {
      if (!(error instanceof InputError)) throw error
      parsing.problems.push(...error.problems)
    }
  }
  if (parsing.problems.length > 0) throw new InputError(file, parsing.problems)
  return new Map([...parsing.routes].map(([domain, { aliases }]) => [domain, aliases]))
}

/** Aliases checked by the schema at a time, since the schema copies what it checks. */
const SLICE_ALIASES = 500

type Parsing = {
  problems: Problem[]
  /** `name` is the domain as written in the file. */
  routes: Map<string, { name: string; aliases: Map<string, Address[]> }>
}

/** Splits the content into parts of at most {@link SLICE_ALIASES} aliases. Content of another shape stays whole. */
function* slicesOf(value: unknown): Generator<unknown, void> {
  const { domains, ...others } = isRecord(value) ? value : {}
  if (!isRecord(domains)) {
    yield value
    return
  }
  yield { ...others, domains: {} }
  for (const [name, domain] of Object.entries(domains)) {
    const { aliases, ...rest } = isRecord(domain) ? domain : {}
    if (!isRecord(aliases)) yield { domains: { [name]: domain } }
    else {
      const all = Object.entries(aliases)
      for (let from = 0; from === 0 || from < all.length; from += SLICE_ALIASES) {
        const some = Object.fromEntries(all.slice(from, from + SLICE_ALIASES))
        yield { domains: { [name]: from === 0 ? { ...rest, aliases: some } : { aliases: some } } }
      }
    }
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function addRoutes({ problems, routes }: Parsing, { domains }: v.InferOutput<typeof RoutesFile>): void {
  for (const [name, { aliases }] of Object.entries(domains)) {
    const domain = parseDomain(name)
    const key = `domains.${name}`
    if (domain === null) problems.push({ key, found: name, expected: 'a domain name' })
    else {
      const known = routes.get(domain) ?? { name, aliases: new Map<string, Address[]>() }
      routes.set(domain, known)
      if (known.name !== name) problems.push({ key, found: `${domain} again`, expected: 'each domain once' })
      else addAliases(known, parseAliases(key, domain, aliases, problems), problems)
    }
  }
}

/** Adds the aliases of one more part. An alias may stand in two parts in different case. */
function addAliases(
  known: { name: string; aliases: Map<string, Address[]> },
  more: Map<string, Address[]>,
  problems: Problem[],
): void {
  for (const [alias, mailboxes] of more) {
    const key = `domains.${known.name}.aliases.${alias}`
    if (known.aliases.has(alias))
      problems.push({ key, found: `${alias} again`, expected: 'each alias once, whatever its case' })
    else known.aliases.set(alias, mailboxes)
  }
}

function parseAliases(
  domainKey: string,
  domain: string,
  aliases: Record<string, string[]>,
  problems: Problem[],
): Map<string, Address[]> {
  const parsed = new Map<string, Address[]>()
  for (const [name, mailboxes] of Object.entries(aliases)) {
    const address = name === CATCH_ALL ? { local: name } : parseAddress(`${name}@${domain}`)
    const alias = address?.local.toLowerCase() ?? ''
    const key = `${domainKey}.aliases.${name}`
    if (address === null) {
      problems.push({ key, found: name, expected: `the part of an address before the @, or ${CATCH_ALL}` })
    } else if (parsed.has(alias)) {
      problems.push({ key, found: `${alias} again`, expected: 'each alias once, whatever its case' })
    } else {
      parsed.set(
        alias,
        mailboxes.map(parseAddress).filter((address) => address !== null),
      )
    }
  }
  return parsed
}

/**
 * Finds the mailboxes for `recipient`. Order: the alias itself, the alias before a '+', the domain's catch-all, and for
 * postmaster@ and abuse@ the role mailbox. Destinations in routed domains are resolved too; each mailbox appears once.
 */
export function resolveRecipient(routes: Routes, recipient: Address, roles: RoleMailbox): Resolution {
  const destinations = new Map<string, Address>()
  const visited = new Set<string>()
  let looped = false

  function follow(address: Address, depth: number): Resolution['kind'] {
    const aliases = routes.get(address.domain)
    if (aliases === undefined && !isOwnRole(address, roles)) return 'unknown-domain'
    const match = matchAlias(aliases ?? NO_ALIASES, address.local) ?? matchRole(address.local, roles)
    if (match === null) return 'unknown-alias'
    const step = formatAddress({ local: match.alias, domain: address.domain })
    if (visited.has(step) || depth >= CHAIN_LENGTH) {
      looped = true
      return 'alias-loop'
    }
    visited.add(step)
    for (const next of match.destinations) {
      if (destinations.size >= ALIAS_DESTINATIONS) break
      const tagged = { local: withTag(next.local, match.tag), domain: next.domain }
      // A chain ends at a mailbox outside our domains. An unknown alias inside them adds no mailbox.
      if (routes.has(next.domain) || isOwnRole(next, roles)) follow(tagged, depth + 1)
      else if (!destinations.has(addressKey(next))) destinations.set(addressKey(next), next)
    }
    return 'routed'
  }

  const kind = follow(recipient, 0)
  if (kind !== 'routed') return { kind }
  if (destinations.size > 0) return { kind: 'routed', destinations: [...destinations.values()] }
  return { kind: looped ? 'alias-loop' : 'unknown-alias' }
}

type Match = { alias: string; tag: string; destinations: readonly Address[] }

function matchAlias(aliases: ReadonlyMap<string, readonly Address[]>, local: string): Match | null {
  const name = local.toLowerCase()
  const plus = name.indexOf('+')
  const candidates = plus > 0 ? [name, name.slice(0, plus), CATCH_ALL] : [name, CATCH_ALL]
  for (const alias of candidates) {
    const destinations = aliases.get(alias)
    if (destinations !== undefined)
      return { alias, tag: alias === name ? '' : tagOf(local, plus), destinations }
  }
  return null
}

const NO_ALIASES: ReadonlyMap<string, readonly Address[]> = new Map()

/** postmaster@ or abuse@ of one of the host's own names. */
function isOwnRole({ local, domain }: Address, { ownNames }: RoleMailbox): boolean {
  return isRole(local) && ownNames.includes(domain)
}

function matchRole(local: string, { postmaster }: RoleMailbox): Match | null {
  return isRole(local) ? { alias: local.toLowerCase(), tag: '', destinations: [postmaster] } : null
}

/** The '+tag' of a local part. Aliases further down the chain may match it. */
function tagOf(local: string, plus: number): string {
  return plus > 0 ? local.slice(plus) : ''
}

function withTag(local: string, tag: string): string {
  return local.includes('+') ? local : local + tag
}
