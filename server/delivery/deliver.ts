// Delivers to a domain or through the relay: looks up the hosts and sends. Owns: the connection pool, the DNS resolver,
// and a short cache of its answers. Every failure is a delivery result.
import type { Config } from '../config/schema.ts'
import type { AttemptContext } from './attempt.ts'
import { createConnections } from './connection-pool.ts'
import { createResolver, lookUpMxHosts, lookUpRelay, type DnsResolver, type MxLookup } from './mx-hosts.ts'
import { send } from './send.ts'
import { createHostBackOff } from './host-back-off.ts'

export type Deliverer = { deliver: AttemptContext['deliver']; close: () => void }

/** How long an answer of DNS is used. node:dns gives no TTL of MX records; large providers use 5 minutes and more. */
const LOOKUP_CACHE_MS = 30_000

/** Most domains in the cache, some 500 bytes each. */
const CACHED_DOMAINS = 5_000

/** Delivers as `config` says. The default `resolver` asks the configured DNS servers, or the system's. */
export function createDeliverer(
  { hostname, delivery }: Pick<Config, 'hostname' | 'delivery'>,
  resolver: DnsResolver = createResolver(delivery.dnsMs, delivery.dnsServers),
): Deliverer {
  const { relay, mxPort, allowLocalAddresses, transactionMs } = delivery
  // At most one connection per delivery slot. After a burst to one host, all of them may be idle.
  const connections = createConnections({ ...delivery, hostname, maxIdle: delivery.concurrency })
  const transport = { connections, hostBackOff: createHostBackOff(), transactionMs }
  const hostsFor = cacheLookups((domain) =>
    relay === undefined
      ? lookUpMxHosts(domain, { resolver, hostname, port: mxPort, allowLocalAddresses })
      : lookUpRelay(relay),
  )
  return {
    deliver: async (domain, envelope, message, hold) => {
      const found = await hostsFor(domain)
      if (found.kind === 'hosts') return send(transport, found.hosts, { envelope, message, hold })
      return new Map(envelope.recipients.map((recipient) => [recipient, found.result]))
    },
    close: () => connections.close(),
  }
}

/**
 * Caches look-ups for {@link LOOKUP_CACHE_MS}. Callers that ask at the same time share one look-up, so a resolver that
 * hangs holds one thread of the pool. The queue's commits need the other threads. Failed look-ups are not cached.
 */
function cacheLookups(find: (domain: string) => Promise<MxLookup>): (domain: string) => Promise<MxLookup> {
  const known = new Map<string, { hosts: Promise<MxLookup>; untilMs: number }>()
  return (domain) => {
    const found = known.get(domain)
    if (found !== undefined && found.untilMs > performance.now()) return found.hosts
    const hosts = find(domain)
    const entry = { hosts, untilMs: performance.now() + LOOKUP_CACHE_MS }
    known.delete(domain)
    known.set(domain, entry)
    const [oldest] = known.keys()
    if (known.size > CACHED_DOMAINS && oldest !== undefined) known.delete(oldest)
    const forget = () => {
      if (known.get(domain) === entry) known.delete(domain)
    }
    hosts.then(({ kind }) => kind === 'none' && forget(), forget)
    return hosts
  }
}
