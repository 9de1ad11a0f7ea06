// The hosts that take mail for a domain, by a table of DNS answers and with a real DNS server.
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { test } from 'node:test'
import {
  createResolver,
  lookUpMxHosts,
  lookUpRelay,
  type DnsResolver,
  type MxLookup,
} from '../../../server/delivery/mx-hosts.ts'

type Zone = Record<string, { mx?: [number, string][]; a?: string[]; aaaa?: string[]; error?: string }>

/** DNS made of a table. A name that is not in it does not exist. */
function resolverOf(zone: Zone): DnsResolver {
  const answer = <T>(name: string, records: (entry: Zone[string]) => T[] | undefined): Promise<T[]> => {
    const entry = zone[name]
    const code = entry === undefined ? 'ENOTFOUND' : entry.error
    if (entry === undefined || code !== undefined)
      return Promise.reject(Object.assign(new Error(code), { code }))
    const found = records(entry)
    return found === undefined
      ? Promise.reject(Object.assign(new Error('no data'), { code: 'ENODATA' }))
      : Promise.resolve(found)
  }
  return {
    resolveMx: (name) =>
      answer(name, ({ mx }) => mx?.map(([priority, exchange]) => ({ priority, exchange }))),
    resolve4: (name) => answer(name, ({ a }) => a),
    resolve6: (name) => answer(name, ({ aaaa }) => aaaa),
  }
}

type Circumstances = { random?: () => number; local?: boolean }

function hopsIn(zone: Zone, { random = () => 0, local = false }: Circumstances = {}): Promise<MxLookup> {
  return lookUpMxHosts('b.example', {
    resolver: resolverOf(zone),
    hostname: 'mx1.example.net',
    port: 25,
    allowLocalAddresses: local,
    random,
  })
}

const A = { a: ['192.0.2.1'] }
const addresses = (hosts: MxLookup) =>
  hosts.kind === 'hosts' ? hosts.hosts.map(({ address }) => address) : []

test('hosts are ordered by preference, and IPv4 comes before IPv6', async () => {
  const hosts = await hopsIn({
    'b.example': {
      mx: [
        [20, 'two.b.example'],
        [10, 'ONE.b.example'],
      ],
    },
    'one.b.example': { a: ['192.0.2.1'], aaaa: ['2001:db8::1'] },
    'two.b.example': { a: ['192.0.2.2'] },
  })
  assert.deepEqual(addresses(hosts), ['192.0.2.1', '2001:db8::1', '192.0.2.2'])
  assert.equal(hosts.kind === 'hosts' && hosts.hosts[0]?.name, 'one.b.example')
})

test('at most ten names are looked up for one domain', async () => {
  const asked: string[] = []
  const mx = Array.from({ length: 5_000 }, (_, n): [number, string] => [n, `mx${n}.b.example`])
  const resolver = resolverOf({ 'b.example': { mx } })
  const hosts = await lookUpMxHosts('b.example', {
    resolver: {
      ...resolver,
      resolve4: (name) => {
        asked.push(name)
        return resolver.resolve4(name)
      },
    },
    hostname: 'mx1.example.net',
    port: 25,
    allowLocalAddresses: false,
  })
  assert.equal(hosts.kind, 'none')
  assert.equal(asked.length, 10)
  assert.equal(asked[0], 'mx0.b.example')
})

test('hosts of equal preference come in random order', async () => {
  const zone: Zone = {
    'b.example': {
      mx: [
        [5, 'x.b.example'],
        [5, 'y.b.example'],
      ],
    },
    'x.b.example': { a: ['192.0.2.1'] },
    'y.b.example': { a: ['192.0.2.2'] },
  }
  const chances = (values: number[]) => () => values.shift() ?? 0
  assert.deepEqual(addresses(await hopsIn(zone, { random: chances([0.1, 0.9]) })), ['192.0.2.1', '192.0.2.2'])
  assert.deepEqual(addresses(await hopsIn(zone, { random: chances([0.9, 0.1]) })), ['192.0.2.2', '192.0.2.1'])
})

test('one host that cannot be looked up does not stop the others', async () => {
  const hosts = await hopsIn({
    'b.example': {
      mx: [
        [1, 'x.b.example'],
        [2, 'y.b.example'],
      ],
    },
    'x.b.example': { error: 'ESERVFAIL' },
    'y.b.example': A,
  })
  assert.deepEqual(addresses(hosts), ['192.0.2.1'])
})

test('at most six addresses are returned', async () => {
  const a = Array.from({ length: 20 }, (_, index) => `192.0.2.${index}`)
  assert.equal(addresses(await hopsIn({ 'b.example': { a } })).length, 6)
})

const NONE: [name: string, zone: Zone, kind: string, status: string][] = [
  ['the domain does not exist', {}, 'failed', '5.1.2'],
  ['a null MX', { 'b.example': { mx: [[0, '']] } }, 'failed', '5.1.10'],
  [
    'we are the best MX',
    {
      'b.example': {
        mx: [
          [1, 'MX1.example.net'],
          [2, 'x.b.example'],
        ],
      },
      'x.b.example': A,
    },
    'failed',
    '5.4.6',
  ],
  ['an MX that is an address', { 'b.example': { mx: [[1, '192.0.2.1']] } }, 'failed', '5.4.4'],
  ['an MX that does not exist', { 'b.example': { mx: [[1, 'x.b.example']] } }, 'failed', '5.4.4'],
  ['neither MX nor address', { 'b.example': {} }, 'failed', '5.4.4'],
  ['DNS fails', { 'b.example': { error: 'ESERVFAIL' } }, 'deferred', '4.4.3'],
  ['DNS times out', { 'b.example': { error: 'ETIMEOUT' } }, 'deferred', '4.4.3'],
  ['DNS refuses', { 'b.example': { error: 'ECONNREFUSED' } }, 'deferred', '4.4.3'],
  [
    'the MX’s address cannot be looked up',
    { 'b.example': { mx: [[1, 'x.b.example']] }, 'x.b.example': { error: 'ETIMEOUT' } },
    'deferred',
    '4.4.3',
  ],
  [
    'loopback only',
    { 'b.example': { a: ['127.0.0.1'], aaaa: ['::1', '::ffff:127.0.0.1'] } },
    'deferred',
    '4.4.4',
  ],
  [
    'an IPv4-mapped IPv6 address',
    { 'b.example': { aaaa: ['64:ff9b::a9fe:a9fe', '2002:7f00:1::', '::7f00:1'] } },
    'deferred',
    '4.4.4',
  ],
  [
    'the metadata service',
    { 'b.example': { a: ['169.254.169.254'], aaaa: ['fd00:ec2::254'] } },
    'deferred',
    '4.4.4',
  ],
  [
    'a private network',
    { 'b.example': { a: ['10.1.2.3', '192.168.0.1', '172.20.0.1'] } },
    'deferred',
    '4.4.4',
  ],
]

for (const [name, zone, kind, status] of NONE) {
  test(`no host: ${name}`, async () => {
    const hosts = await hopsIn(zone)
    assert.equal(hosts.kind, 'none')
    assert.equal(hosts.kind === 'none' && `${hosts.result.kind} ${hosts.result.status}`, `${kind} ${status}`)
  })
}

test('an MX of our name is dropped, with every less preferred one', async () => {
  const mx: [number, string][] = [
    [1, 'x.b.example'],
    [5, 'mx1.example.net'],
    [9, 'y.b.example'],
  ]
  assert.deepEqual(
    addresses(await hopsIn({ 'b.example': { mx }, 'x.b.example': A, 'y.b.example': { a: ['192.0.2.9'] } })),
    ['192.0.2.1'],
  )
})

test('local addresses are returned when they are allowed', async () => {
  assert.deepEqual(addresses(await hopsIn({ 'b.example': { a: ['127.0.0.1'] } }, { local: true })), [
    '127.0.0.1',
  ])
})

test('the system looks up the name of a relay', async () => {
  const hosts = await lookUpRelay({ host: 'localhost', port: 2525 })
  assert.ok(addresses(hosts).some((address) => address === '127.0.0.1' || address === '::1'))
  const none = await lookUpRelay({ host: 'no-such-host.invalid', port: 25 })
  assert.equal(none.kind === 'none' && none.result.kind, 'deferred')
})

/** A DNS server that answers every question with `rcode` and no records. */
async function dnsServer(rcode: number) {
  const socket = createSocket('udp4')
  socket.on('message', (query, { port, address }) => {
    const reply = Buffer.from(query)
    reply.writeUInt16BE(0x8180 | rcode, 2)
    socket.send(reply, port, address)
  })
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  return { address: `127.0.0.1:${socket.address().port}`, close: () => socket.close() }
}

for (const [rcode, kind, status] of [
  [3, 'failed', '5.1.2'],
  [2, 'deferred', '4.4.3'],
  [5, 'deferred', '4.4.3'],
] as const) {
  test(`a real DNS server that answers with code ${rcode}: ${kind}`, async () => {
    const dns = await dnsServer(rcode)
    const resolver = createResolver(2_000, [dns.address])
    const hosts = await lookUpMxHosts('b.example', {
      resolver,
      hostname: 'mx1.example.net',
      port: 25,
      allowLocalAddresses: false,
    })
    dns.close()
    assert.equal(hosts.kind === 'none' && `${hosts.result.kind} ${hosts.result.status}`, `${kind} ${status}`)
  })
}

test('a DNS server without an answer defers', async () => {
  const silent = createSocket('udp4')
  await new Promise<void>((resolve) => silent.bind(0, '127.0.0.1', resolve))
  const resolver = createResolver(400, [`127.0.0.1:${silent.address().port}`])
  const hosts = await lookUpMxHosts('b.example', {
    resolver,
    hostname: 'mx1.example.net',
    port: 25,
    allowLocalAddresses: false,
  })
  silent.close()
  assert.equal(hosts.kind === 'none' && hosts.result.kind, 'deferred')
})

test('an address literal needs no look-up, and local networks are refused', async () => {
  const options = { hostname: 'mx1.example.net', port: 25, allowLocalAddresses: false }
  const nothing = () => Promise.reject(new Error('asked'))
  const resolver = { resolveMx: nothing, resolve4: nothing, resolve6: nothing }
  for (const [domain, address] of [
    ['[192.0.2.1]', '192.0.2.1'],
    ['[IPv6:2001:db8::1]', '2001:db8::1'],
  ] as const)
    assert.deepEqual(await lookUpMxHosts(domain, { ...options, resolver }), {
      kind: 'hosts',
      hosts: [{ name: address, address, port: 25 }],
    })
  for (const domain of ['[127.0.0.1]', '[IPv6:::1]'])
    assert.equal((await lookUpMxHosts(domain, { ...options, resolver })).kind, 'none')
})
