// A policy forbids some differences, permits others, and reports those that it cannot see.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { compareImages } from '../../../images/diff/compare.ts'
import { readPolicy, violations } from '../../../images/diff/policy.ts'
import { receipt, side } from '../../kit/images/fake-sides.ts'

const policy = readPolicy(join(import.meta.dirname, '../../../images/diff/policy.yaml'))
const booted = { receipt: receipt() }
const service = (properties: Record<string, string[]>) => ({
  unitProperties: { 'mailfleet.service': properties },
})
const pkg = (name: string, version: string) => ({ packages: [{ name, version, architecture: 'amd64' }] })

test('our own policy lets updates through', () => {
  const before = side(pkg('libc6', '1'), booted)
  const after = side(pkg('libc6', '2'), { receipt: receipt({ blocksRead: 109, secondsToFirstForward: 99 }) })
  assert.deepEqual(violations(compareImages(before, after), policy), [])
})

const forbidden: [string, ReturnType<typeof side>, ReturnType<typeof side>, RegExp][] = [
  [
    'a setuid file',
    side({}, booted),
    side({ setuid: ['/usr/bin/x'] }, booted),
    /^setuid: \/usr\/bin\/x added: nobody/,
  ],
  [
    'another port',
    side({}, booted),
    side({}, { receipt: receipt({ listening: ['tcp :::25', 'tcp :::22'] }) }),
    /^listening: tcp :::22 added/,
  ],
  [
    'a package manager',
    side({}, booted),
    side(pkg('apt', '3'), booted),
    /^packages: apt added \(3\): it installs/,
  ],
  [
    'a sandbox with a hole',
    side(service({ 'Service.ProtectHome': ['yes'] }), booted),
    side(service({}), booted),
    /^unitProperties: mailfleet\.service Service\.ProtectHome removed \(yes\)/,
  ],
  [
    'an added capability',
    side(service({ 'Service.User': ['mailfleet'] }), booted),
    side(
      service({ 'Service.User': ['mailfleet'], 'Service.AmbientCapabilities': ['CAP_NET_ADMIN'] }),
      booted,
    ),
    /^unitProperties: mailfleet\.service Service\.AmbientCapabilities added \(CAP_NET_ADMIN\): a unit runs/,
  ],
  [
    'a changed ExecStart',
    side(service({ 'Service.ExecStart': ['/usr/lib/mailfleet/node server.mjs'] }), booted),
    side(service({ 'Service.ExecStart': ['/usr/bin/sh -c id'] }), booted),
    /^unitProperties: mailfleet\.service Service\.ExecStart changed: .*node server\.mjs → \/usr\/bin\/sh -c id/,
  ],
  [
    'a port opened in the packet filter, with the line that opens it',
    side({}, { ...booted, texts: { '/etc/nftables.conf': 'table inet f {\n  tcp dport 25 accept\n}\n' } }),
    side(
      {},
      {
        ...booted,
        texts: { '/etc/nftables.conf': 'table inet f {\n  tcp dport 25 accept\n  tcp dport 22 accept\n}\n' },
      },
    ),
    /^texts: \/etc\/nftables\.conf changed: \+ {3}tcp dport 22 accept: it configures/,
  ],
  [
    'a new unit that starts',
    side(service({}), booted),
    side(
      { unitProperties: { 'mailfleet.service': {}, 'x.service': { 'Service.ExecStart': ['/x'] } } },
      booted,
    ),
    /^units: x\.service added: another set of units starts$/,
  ],
  [
    'a new unit that nothing starts yet',
    side({}, booted),
    side({}, { ...booted, texts: { '/usr/lib/systemd/system/x.service': '[Service]\nExecStart=/x\n' } }),
    /^texts: \/usr\/lib\/systemd\/system\/x\.service added: \+ \[Service\] ⏎ \+ ExecStart=\/x: it configures/,
  ],
  [
    'a unit that is no longer masked',
    side({}, { ...booted, texts: { '/etc/systemd/system/x.service': '→ /dev/null' } }),
    side({}, booted),
    /^texts: \/etc\/systemd\/system\/x\.service removed: - → \/dev\/null/,
  ],
  [
    'a sysctl that was not set before',
    side({}, booted),
    side({ sysctls: { 'net.ipv4.ip_forward': '1' } }, booted),
    /^sysctls: net\.ipv4\.ip_forward added \(1\)/,
  ],
  [
    'a weaker kernel',
    side({ sysctls: { 'kernel.sysrq': '0' } }, booted),
    side({ sysctls: { 'kernel.sysrq': '1' } }, booted),
    /^sysctls: kernel\.sysrq changed: 0 → 1/,
  ],
  [
    'a kernel without verity',
    side({}, { ...booted, kernelConfig: 'CONFIG_DM_VERITY=m\n' }),
    side({}, booted),
    /^kernelConfig: CONFIG_DM_VERITY removed/,
  ],
  [
    'a boot that reads more',
    side({}, booted),
    side({}, { receipt: receipt({ blocksRead: 111 }) }),
    /^blocksRead grew by 11\.0 %, from 100 to 111; at most 10 %/,
  ],
  [
    'an image never booted',
    side({}, booted),
    side(),
    /^a{12} has no receipt of a boot test, which a gate asks for/,
  ],
]
for (const [what, before, after, expected] of forbidden)
  test(`our own policy forbids ${what}, and says so once`, () => {
    const found = violations(compareImages(before, after), policy)
    assert.equal(found.length, 1, found.join('\n'))
    assert.match(found[0] ?? '', expected)
  })

test('except lets a named key through, and no other that it is a part of', () => {
  const rule = { in: 'setuid' as const, change: ['added' as const], why: 'x', except: ['/usr/bin/a.b'] }
  const diff = compareImages(side({}, booted), side({ setuid: ['/usr/bin/a.b', '/usr/bin/aab'] }, booted))
  const found = violations(diff, {
    format: 2,
    growthPercent: {},
    forbid: [rule],
    allow: [{ in: 'setuid', keys: ['/usr/bin/a*'], why: 'x' }],
  })
  assert.deepEqual(found, ['setuid: /usr/bin/aab added: x'])
})

test('allow lets a guarded change through by section, kind and key, and nothing else', () => {
  const before = side(service({ 'Service.User': ['mailfleet'] }), booted)
  const after = side(service({ 'Service.User': ['root'], 'Service.Group': ['root'] }), booted)
  const found = (allow: (typeof policy)['allow']) =>
    violations(compareImages(before, after), { ...policy, allow }).map((text) => text.split(' ')[2])
  const rule = { in: 'unitProperties' as const, keys: ['mailfleet.service Service.User'], why: 'x' }
  assert.deepEqual(found([]), ['Service.Group', 'Service.User'])
  assert.deepEqual(found([rule]), ['Service.Group'])
  assert.deepEqual(found([{ ...rule, change: ['added'] }]), ['Service.Group', 'Service.User'])
  assert.deepEqual(found([{ ...rule, in: 'texts' }]), ['Service.Group', 'Service.User'])
  assert.deepEqual(found([{ ...rule, keys: ['mailfleet.service *'] }]), [])
})

test('a description, and the file of a unit whose settings are compared, are no violation', () => {
  const file = '/usr/lib/systemd/system/mailfleet.service'
  const dropIn = `${file}.d/10-x.conf`
  const before = side(service({ 'Unit.Description': ['a'] }), { ...booted, texts: { [file]: 'a' } })
  const texts = { [file]: 'b', [dropIn]: 'c' }
  const after = side(service({ 'Unit.Description': ['b'] }), { ...booted, texts })
  assert.deepEqual(violations(compareImages(before, after), policy), [])
})

test('a policy that does not fit is refused with every problem named', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-policy-'))
  const file = join(folder, 'policy.yaml')
  try {
    writeFileSync(
      file,
      'format: 2\nallow: [{ in: npm, keys: [x], why: y }]\nforbid: [{ in: ports, change: [] }]\ngrowthPercent: { disk: -1 }\nalow: x\n',
    )
    assert.throws(() => readPolicy(file), /5 problems|6 problems/)
    assert.throws(() => readPolicy(file), /allow\.0\.in: expected setuid, units, unitProperties, texts/)
    assert.throws(
      () => readPolicy(file),
      /forbid\.0\.in: expected packages, npm[^]*growthPercent\.disk[^]*alow: expected no such key/,
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
