// Delivery to a domain or by the relay: finds the hops and sends.
// Owns: the outgoing connections, the DNS resolver, and a short memory of what DNS said. Fails only by outcomes.
import type { Config } from '../config/schema.ts'
import type { AttemptContext } from './attempt.ts'
import { createConnections } from './connection-pool.ts'
import { createResolver, mxHops, relayHop, type DnsResolver, type Hops } from './mx-hosts.ts'
import { send } from './send.ts'
import { createUnanswering } from './host-back-off.ts'

export type Deliverer = { deliver: AttemptContext['deliver']; close: () => void }

/** How long an answer of DNS is used. node:dns tells no TTL of MX records; those of large providers are 5 minutes up. */
const HOPS_MS = 30_000

/** Most domains remembered, some 500 bytes each. */
const DOMAINS = 5_000

/** Delivers as `config` says. `resolver` is the DNS to ask; the configured servers, or the system's, by default. */
export function createDeliverer(
  { hostname, delivery }: Pick<Config, 'hostname' | 'delivery'>,
  resolver: DnsResolver = createResolver(delivery.dnsMs, delivery.dnsServers),
): Deliverer {
  const { relay, mxPort, allowLocalAddresses, transactionMs } = delivery
  // Every slot may have had a connection of its own, and a burst to one host leaves them all idle.
  const connections = createConnections({ ...delivery, hostname, maxIdle: delivery.concurrency })
  const ways = { connections, unanswering: createUnanswering(), transactionMs }
  const hopsFor = rememberHops((domain) =>
    relay === undefined
      ? mxHops(domain, { resolver, hostname, port: mxPort, allowLocalAddresses })
      : relayHop(relay),
  )
  return {
    deliver: async (domain, envelope, message, hold) => {
      const found = await hopsFor(domain)
      if (found.kind === 'hops') return send(ways, found.hops, { envelope, message, hold })
      return new Map(envelope.recipients.map((recipient) => [recipient, found.outcome]))
    },
    close: () => connections.close(),
  }
}

/**
 * Remembers hops for {@link HOPS_MS}, and lets everyone who asks at the same time wait for one look-up: a resolver
 * that hangs then holds one thread of the pool, not all, which the queue's commits need too. Trouble is not remembered.
 */
function rememberHops(find: (domain: string) => Promise<Hops>): (domain: string) => Promise<Hops> {
  const known = new Map<string, { hops: Promise<Hops>; untilMs: number }>()
  return (domain) => {
    const found = known.get(domain)
    if (found !== undefined && found.untilMs > performance.now()) return found.hops
    const hops = find(domain)
    const entry = { hops, untilMs: performance.now() + HOPS_MS }
    known.delete(domain)
    known.set(domain, entry)
    const [oldest] = known.keys()
    if (known.size > DOMAINS && oldest !== undefined) known.delete(oldest)
    const forget = () => {
      if (known.get(domain) === entry) known.delete(domain)
    }
    hops.then(({ kind }) => kind === 'none' && forget(), forget)
    return hops
  }
}
