// The error for a user who cannot bake names the reason and the command that solves it.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { requireUserNamespaces } from '../../../images/bake/user-namespaces.ts'

const refused = () => Promise.reject(new Error('unshare failed: Operation not permitted'))
const IDS = { 'etc/subuid': 'anna:100000:65536\n', 'etc/subgid': 'anna:100000:65536\n' }

function machine(files: Record<string, string>) {
  const root = mkdtempSync(join(tmpdir(), 'mailfleet-machine-'))
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return { root, isRoot: false, user: 'anna', attempt: refused }
}

test('root passes, and so does a user who may make namespaces', async () => {
  await requireUserNamespaces({ ...machine({}), isRoot: true })
  await requireUserNamespaces({ ...machine({}), attempt: () => Promise.resolve() })
})

for (const [setting, forbids, allows] of [
  ['kernel.unprivileged_userns_clone', '0', '1'],
  ['user.max_user_namespaces', '0', '15000'],
  ['kernel.apparmor_restrict_unprivileged_userns', '1', '0'],
] as const)
  test(`${setting} = ${forbids} is named`, async () => {
    const file = `proc/sys/${setting.replace('.', '/')}`
    await assert.rejects(requireUserNamespaces(machine({ ...IDS, [file]: `${forbids}\n` })), {
      message: `the bake needs user namespaces for anna: the kernel setting ${setting} is ${forbids}, which forbids them. As root: sysctl ${setting}=${allows}`,
    })
    await assert.rejects(
      requireUserNamespaces(machine({ ...IDS, [file]: `${allows}\n` })),
      /: unshare failed: Operation not permitted$/,
    )
  })

test('the error for a user without subordinate ids has the command that adds a free range', async () => {
  const others = { 'etc/subuid': 'bert:100000:65536\n', 'etc/subgid': 'bert:100000:65536\n' }
  await assert.rejects(requireUserNamespaces(machine(others)), {
    message:
      'the bake needs user namespaces for anna: anna has no range of 65536 ids in /etc/subuid and /etc/subgid. ' +
      'As root: usermod --add-subuids 165536-231071 --add-subgids 165536-231071 anna',
  })
})

test('a missing file, or a range that is too small, is reported alone', async () => {
  await assert.rejects(
    requireUserNamespaces(machine({ 'etc/subuid': IDS['etc/subuid'] })),
    /: anna has no range of 65536 ids in \/etc\/subgid\. As root: usermod --add-subgids 165536-231071 anna$/,
  )
  await assert.rejects(
    requireUserNamespaces(machine({ ...IDS, 'etc/subuid': 'anna:100000:1000\n' })),
    /: anna has no range of 65536 ids in \/etc\/subuid\. As root: usermod --add-subuids 165536-231071 anna$/,
  )
})
