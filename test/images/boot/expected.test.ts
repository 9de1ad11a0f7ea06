// The check of a guest lists every difference from the expected facts at once.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { unexpectedDestinations, factProblems, listeningOfImage } from '../../../images/boot/expected.ts'
import type { GuestFacts } from '../../../images/boot/guest-facts.ts'

const good: GuestFacts = {
  attempts: [],
  units: [{ unit: 'mailfleet.service', active: 'active', sub: 'running' }],
  listening: [
    { protocol: 'tcp', address: '::', port: 25 },
    { protocol: 'tcp', address: '0.0.0.0', port: 9025 },
    { protocol: 'tcp', address: '127.0.0.53', port: 53 },
    { protocol: 'udp', address: '127.0.0.54', port: 53 },
    { protocol: 'udp', address: '10.0.2.15', port: 68 },
    { protocol: 'udp', address: '0.0.0.0', port: 45_001 },
    { protocol: 'tcp', address: '::', port: 9099 },
  ],
  times: { now: 1, userspace: 1, server: 1 },
  server: {
    restarts: 0,
    memoryDenyWriteExecute: false,
    environment: ['NODE_ENV=production', 'UV_USE_IO_URING=0'],
  },
  running: [],
  foreign: [],
  nodeVersion: 'v26.10.0',
  kernel: '6.12',
}

test('what an image should do is no problem, and the probe is not of the image', () => {
  assert.deepEqual(factProblems(good), [])
  assert.ok(!listeningOfImage(good).some(({ port }) => port === 9099))
})

test('every deviation is named', () => {
  const problems = factProblems({
    ...good,
    units: [{ unit: 'other.service', active: 'failed', sub: 'failed' }],
    listening: [
      { protocol: 'tcp', address: '0.0.0.0', port: 22 },
      { protocol: 'udp', address: '0.0.0.0', port: 53 },
      { protocol: 'udp', address: '0.0.0.0', port: 161 },
    ],
    server: { restarts: 2, memoryDenyWriteExecute: true, environment: [''] },
    foreign: ['/usr/bin/apt-get'],
  })
  assert.equal(problems.length, 8)
  for (const word of [
    'other.service',
    'tcp 0.0.0.0:22',
    'udp 0.0.0.0:53',
    ':161',
    'apt-get',
    '2 times',
    'JIT',
    'io_uring',
  ])
    assert.ok(
      problems.some((problem) => problem.includes(word)),
      word,
    )
})

test('whom it may speak to: the relay, the probe’s address, DHCP and the time', () => {
  const attempted = '10.0.2.2:4711'
  const allowed = [
    'tcp 10.0.2.100:2526',
    'tcp 10.0.2.2:4711',
    'udp 255.255.255.255:67',
    'udp 169.254.169.123:123',
  ]
  assert.deepEqual(unexpectedDestinations(allowed, attempted), [])
  assert.deepEqual(unexpectedDestinations(['tcp 169.254.169.254:80', 'udp 10.0.2.3:53'], attempted), [
    'it began to speak to tcp 169.254.169.254:80',
    'it began to speak to udp 10.0.2.3:53',
  ])
})
