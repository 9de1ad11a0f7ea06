// The subnets of a block, compared with subnets computed by hand.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { subnetsOf } from '../../../infra/aws/network.ts'

const cases: [block: string, zone: number, subnets: { public: string; private: string }][] = [
  ['10.20.0.0/16', 0, { public: '10.20.0.0/20', private: '10.20.128.0/20' }],
  ['10.20.0.0/16', 2, { public: '10.20.32.0/20', private: '10.20.160.0/20' }],
  ['10.20.0.0/16', 7, { public: '10.20.112.0/20', private: '10.20.240.0/20' }],
  ['192.168.48.0/20', 5, { public: '192.168.53.0/24', private: '192.168.61.0/24' }],
  ['172.31.0.0/17', 1, { public: '172.31.8.0/21', private: '172.31.72.0/21' }],
]

for (const [block, zone, expected] of cases)
  test(`${block}, zone ${zone}`, () => assert.deepEqual(subnetsOf(block, zone), expected))

test('all subnets of a block differ', () => {
  const all = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((zone) => Object.values(subnetsOf('10.20.0.0/16', zone)))
  assert.equal(new Set(all).size, 16)
})
