// What a policy forbids, what it lets through, and what it cannot see.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { compareImages } from '../../../images/diff/compare.ts'
import { readPolicy, violations } from '../../../images/diff/policy.ts'
import { receipt, side } from './made-up.ts'

const policy = readPolicy(join(import.meta.dirname, '../../../images/diff-policy.yaml'))
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
    /^a{12} has no receipt of a boot test, which the policy asks for/,
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
  const diff = compareImages(side(), side({ setuid: ['/usr/bin/a.b', '/usr/bin/aab'] }))
  const found = violations(diff, { format: 1, forbid: [rule], growthPercent: {} })
  assert.deepEqual(found, ['setuid: /usr/bin/aab added: x'])
})

test('a policy that does not fit is refused with every problem named', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-policy-'))
  const file = join(folder, 'policy.yaml')
  try {
    writeFileSync(
      file,
      'format: 1\nforbid: [{ in: ports, change: [] }]\ngrowthPercent: { disk: -1 }\nallow: x\n',
    )
    assert.throws(() => readPolicy(file), /4 problems|5 problems/)
    assert.throws(
      () => readPolicy(file),
      /forbid\.0\.in: expected packages, npm[^]*growthPercent\.disk[^]*allow: expected no such key/,
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
