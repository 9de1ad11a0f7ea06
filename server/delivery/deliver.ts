// Delivery to a domain or by the relay: finds the hops and sends.
// Owns: the outgoing connections, the DNS resolver, and a short memory of what DNS said. Fails only by outcomes.
import type { Config } from '../config/schema.ts'
import type { AttemptContext } from './attempt.ts'
import { createConnections } from './connection-pool.ts'
import { createResolver, lookUpMxHosts, lookUpRelay, type DnsResolver, type MxLookup } from './mx-hosts.ts'
import { send } from './send.ts'
import { createHostBackOff } from './host-back-off.ts'

export type Deliverer = { deliver: AttemptContext['deliver']; close: () => void }

/** How long an answer of DNS is used. node:dns tells no TTL of MX records; those of large providers are 5 minutes up. */
const LOOKUP_CACHE_MS = 30_000

/** Most domains remembered, some 500 bytes each. */
const CACHED_DOMAINS = 5_000

/** Delivers as `config` says. `resolver` is the DNS to ask; the configured servers, or the system's, by default. */
export function createDeliverer(
  { hostname, delivery }: Pick<Config, 'hostname' | 'delivery'>,
  resolver: DnsResolver = createResolver(delivery.dnsMs, delivery.dnsServers),
): Deliverer {
  const { relay, mxPort, allowLocalAddresses, transactionMs } = delivery
  // Every slot may have had a connection of its own, and a burst to one host leaves them all idle.
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
 * Remembers hops for {@link LOOKUP_CACHE_MS}, and lets everyone who asks at the same time wait for one look-up: a resolver
 * that hangs then holds one thread of the pool, not all, which the queue's commits need too. Trouble is not remembered.
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
