// Looks up the hosts that take mail for a domain, in the order to try them, with their addresses. Owns: the MX rules (RFC
// 5321 section 5.1, RFC 7505), and the refusal to send to ourselves or into local networks. Without an answer of DNS the
// result is deferred; when DNS says that the name does not exist, it is failed. Throws only on a bug.
import { lookup, Resolver } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'
import { literalAddress, parseDomain } from '../address.ts'
import { deferred, failed, type DeliveryResult } from './delivery-result.ts'

/** The DNS queries needed here. node:dns's Resolver has this type, and so has a table in a test. */
export type DnsResolver = {
  resolveMx: (domain: string) => Promise<{ exchange: string; priority: number }[]>
  resolve4: (host: string) => Promise<string[]>
  resolve6: (host: string) => Promise<string[]>
}

/** One address to connect to. `name` is the host's DNS name, for TLS and the log. */
export type MxHost = { name: string; address: string; port: number }

export type MxLookup = { kind: 'hosts'; hosts: MxHost[] } | { kind: 'none'; result: DeliveryResult }

/** Most addresses tried for one message. RFC 5321 section 5.1 asks for at least two. */
const MAX_HOSTS = 6

/** Most names looked up for one message. Each can cost the whole DNS timeout if the domain's server never answers. */
const MAX_EXCHANGES = 10

const NO_SUCH_NAME = 'ENOTFOUND'
const NO_SUCH_RECORD = 'ENODATA'

/** Makes a resolver that asks `servers` (`address` or `address:port`), or the system's servers. */
export function createResolver(dnsMs: number, servers?: readonly string[]): DnsResolver {
  // Two tries within the timeout.
  const resolver = new Resolver({ timeout: Math.ceil(dnsMs / 2), tries: 2 })
  if (servers !== undefined) resolver.setServers(servers)
  return resolver
}

type MxOptions = {
  resolver: DnsResolver
  /** Our own name. An MX of this name, and every less preferred one, would send the message back to us. */
  hostname: string
  port: number
  allowLocalAddresses: boolean
  random?: () => number
}

/** The hosts for mail to `domain`, best first. */
export async function lookUpMxHosts(domain: string, options: MxOptions): Promise<MxLookup> {
  const literal = literalAddress(domain)
  if (literal !== null) return literalHost(domain, literal, options)
  const exchanges = await findExchanges(domain, options)
  if (!Array.isArray(exchanges)) return { kind: 'none', result: exchanges }
  const hosts: MxHost[] = []
  let dnsError: DeliveryResult | null = null
  let blocked = 0
  for (const name of exchanges) {
    const found = await findAddresses(name, options.resolver)
    if (!Array.isArray(found)) {
      dnsError = found
      continue
    }
    const usable = found.filter((address) => options.allowLocalAddresses || !isLocal(address))
    blocked += found.length - usable.length
    hosts.push(...usable.map((address) => ({ name, address, port: options.port })))
    if (hosts.length >= MAX_HOSTS) break
  }
  if (hosts.length > 0) return { kind: 'hosts', hosts: hosts.slice(0, MAX_HOSTS) }
  return { kind: 'none', result: dnsError ?? noAddress(domain, blocked) }
}

/** RFC 5321 section 5.1: an address literal has no MX. */
function literalHost(domain: string, address: string, { port, allowLocalAddresses }: MxOptions): MxLookup {
  if (!allowLocalAddresses && isLocal(address)) return { kind: 'none', result: noAddress(domain, 1) }
  return { kind: 'hosts', hosts: [{ name: address, address, port }] }
}

function noAddress(domain: string, blocked: number): DeliveryResult {
  // Deferred, because the domain's owner can fix this within the days that a message is kept.
  if (blocked > 0) return deferred('dns', `the hosts of ${domain} have local addresses only`, '4.4.4')
  return failed(`no host of ${domain} has an address`, '5.4.4')
}

/** Names of the hosts to try, or why there are none. */
async function findExchanges(domain: string, options: MxOptions): Promise<string[] | DeliveryResult> {
  const { resolver, hostname, random = Math.random } = options
  let records: { exchange: string; priority: number }[]
  try {
    records = await resolver.resolveMx(domain)
  } catch (error) {
    const code = codeOf(error)
    if (code === NO_SUCH_NAME) return failed(`no such domain: ${domain}`, '5.1.2')
    // RFC 5321 section 5.1: a domain without MX records is its own mail host.
    if (code === NO_SUCH_RECORD) records = [{ exchange: domain, priority: 0 }]
    else return deferred('dns', `looking up the MX of ${domain}: ${code}`, '4.4.3')
  }
  if (records.length === 0) records = [{ exchange: domain, priority: 0 }]
  // RFC 7505: a null MX is a single record with an empty name. The domain takes no mail.
  if (records.every(({ exchange }) => exchange === '' || exchange === '.')) {
    return failed(`${domain} takes no mail (null MX)`, '5.1.10')
  }
  const named = records.flatMap(({ exchange, priority }) => {
    const name = parseDomain(exchange)
    return name === null ? [] : [{ name, priority }]
  })
  const own = Math.min(...named.filter(({ name }) => name === hostname).map(({ priority }) => priority))
  const better = named.filter(({ priority }) => priority < own)
  if (named.length === 0) return failed(`the MX of ${domain} is not a host name`, '5.4.4')
  if (better.length === 0) return failed(`mail for ${domain} comes back to ${hostname}`, '5.4.6')
  return better
    .map((record) => ({ ...record, chance: random() }))
    .sort((a, b) => a.priority - b.priority || a.chance - b.chance)
    .slice(0, MAX_EXCHANGES)
    .map(({ name }) => name)
}

/** IPv4 first, where the reputation of outbound mail is better established. Empty when the name has no address. */
async function findAddresses(name: string, resolver: DnsResolver): Promise<string[] | DeliveryResult> {
  const [v4, v6] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
  const addresses = [v4, v6].flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
  if (addresses.length > 0) return addresses
  const dnsError = [v4, v6]
    .filter((result) => result.status === 'rejected')
    .map((result) => codeOf(result.reason))
    .find((code) => code !== NO_SUCH_NAME && code !== NO_SUCH_RECORD)
  return dnsError === undefined
    ? []
    : deferred('dns', `looking up the address of ${name}: ${dnsError}`, '4.4.3')
}

/** The addresses of the relay. The system looks up a host name, with /etc/hosts included. */
export async function lookUpRelay(relay: { host: string; port: number }): Promise<MxLookup> {
  if (isIP(relay.host) !== 0) {
    return { kind: 'hosts', hosts: [{ name: relay.host, address: relay.host, port: relay.port }] }
  }
  try {
    const found = await lookup(relay.host, { all: true })
    const hosts = found.map(({ address }) => ({ name: relay.host, address, port: relay.port }))
    return { kind: 'hosts', hosts: hosts.slice(0, MAX_HOSTS) }
  } catch (error) {
    return { kind: 'none', result: deferred('dns', `looking up ${relay.host}: ${codeOf(error)}`, '4.4.3') }
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error)
}

const LOCAL_NETWORKS: readonly [string, number, 'ipv4' | 'ipv6'][] = [
  // This network, private (RFC 1918), shared (RFC 6598), loopback, link-local, multicast and above.
  ['0.0.0.0', 8, 'ipv4'],
  ['10.0.0.0', 8, 'ipv4'],
  ['100.64.0.0', 10, 'ipv4'],
  ['127.0.0.0', 8, 'ipv4'],
  ['169.254.0.0', 16, 'ipv4'],
  ['172.16.0.0', 12, 'ipv4'],
  ['192.168.0.0', 16, 'ipv4'],
  ['224.0.0.0', 3, 'ipv4'],
  // Unspecified, loopback, IPv4-compatible, NAT64 (RFC 6052) and 6to4 (RFC 3056), which stand for IPv4 addresses;
  // unique local, link-local, multicast. IPv4-mapped addresses are checked as the IPv4 addresses they are.
  ['::', 96, 'ipv6'],
  ['64:ff9b::', 96, 'ipv6'],
  ['2002::', 16, 'ipv6'],
  ['fc00::', 7, 'ipv6'],
  ['fe80::', 10, 'ipv6'],
  ['ff00::', 8, 'ipv6'],
]

const localNetworks = new BlockList()
for (const [network, prefix, family] of LOCAL_NETWORKS) localNetworks.addSubnet(network, prefix, family)

function isLocal(address: string): boolean {
  return localNetworks.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}
