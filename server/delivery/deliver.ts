// Delivery to a domain or by the relay: finds the hops and sends.
// Owns: the outgoing connections and the DNS resolver. Fails only by outcomes.
import type { Config } from '../config.ts'
import type { AttemptContext } from './attempt.ts'
import { createConnections } from './connections.ts'
import { createResolver, mxHops, relayHop, type DnsResolver, type Hops } from './resolve.ts'
import { send } from './send.ts'

export type Deliverer = { deliver: AttemptContext['deliver']; close: () => void }

/** Delivers as `config` says. `resolver` is the DNS to ask; the configured servers, or the system's, by default. */
export function createDeliverer(
  { hostname, delivery }: Pick<Config, 'hostname' | 'delivery'>,
  resolver: DnsResolver = createResolver(delivery.dnsMs, delivery.dnsServers),
): Deliverer {
  const { relay, mxPort, allowLocalAddresses } = delivery
  // Every slot may have had a connection of its own, and a burst to one host leaves them all idle.
  const connections = createConnections({ ...delivery, hostname, maxIdle: delivery.concurrency })

  async function hopsFor(domain: string): Promise<Hops> {
    if (relay !== undefined) return relayHop(relay)
    return mxHops(domain, { resolver, hostname, port: mxPort, allowLocalAddresses })
  }

  return {
    deliver: async (domain, envelope, message) => {
      const found = await hopsFor(domain)
      if (found.kind === 'none')
        return new Map(envelope.recipients.map((recipient) => [recipient, found.outcome]))
      return send(connections, found.hops, envelope, message)
    },
    close: () => connections.close(),
  }
}
