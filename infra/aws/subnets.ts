// How a fleet's address block is cut into subnets. Pure arithmetic; the block has been checked by stack-config.ts.

/** A subnet takes 2⁻⁴ of the block: 8 public and 8 private ones, of which a region's at most 6 zones use one each. */
const NEW_BITS = 4
const PRIVATE_FROM = 8

/**
 * The public and the private subnet of a zone. A zone's subnets depend on its index only, so that a further zone
 * moves none of the others.
 * @param vpcCidr an IPv4 block such as 10.20.0.0/16
 * @param zone 0 to 7
 */
export function subnetsOf(vpcCidr: string, zone: number): { public: string; private: string } {
  const [address = '', prefix = ''] = vpcCidr.split('/')
  const first = address.split('.').reduce((number, part) => number * 256 + Number(part), 0)
  const length = Number(prefix) + NEW_BITS
  const block = (index: number) => `${dotted(first + index * 2 ** (32 - length))}/${length}`
  return { public: block(zone), private: block(PRIVATE_FROM + zone) }
}

const dotted = (number: number) =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')
