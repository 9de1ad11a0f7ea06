// The lint of the root reports each line or file that installs, downloads, allows a login or gives more rights, all at
// once. Text that only mentions such things passes.
import assert from 'node:assert/strict'
import { appendFileSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { InputError } from '../../../input/problems.ts'
import { lintRoot, textProblems } from '../../../images/bake/lint.ts'
import { writeTar, type TarEntry } from '../../../images/formats/tar-writer.ts'
import { folderFor } from '../../kit/queue/embedded-harness.ts'

const INSTALLS = [
  'ExecStart=/usr/bin/apt-get install -y nodejs',
  'ExecStartPre=-/usr/bin/curl -fsSL example.com/setup.sh',
  'ExecStart=+/bin/sh -c "wget -q example.com/a.deb && dpkg -i a.deb"',
  'ExecStart=/usr/lib/mailfleet/node /usr/bin/npm ci',
  'RUN+="/usr/bin/pip3 install mail"',
  'cd /srv && git clone example.com/server.git',
  'x=$(curl example.com)',
  'docker pull mail/server',
  '#cloud-config',
  'ExecStart=/usr/bin/cloud-init init',
  'ExecStart=/usr/bin/unattended-upgrade',
  'Wants=cloud-final.service',
]
const PASSES = [
  '# curl and apt-get are not in the image',
  '; apt-get',
  'Documentation=https://example.com/apt',
  'ExecStart=/usr/lib/systemd/systemd-udevd',
  'Description=Adapted snapshots of gems',
  'd /run/aptitude-like 0755 root root',
  'ExecStart=/usr/lib/mailfleet/node /usr/lib/mailfleet/server.mjs --config-from-instance',
]

test('a line that installs or downloads is reported with file and line number', () => {
  for (const line of INSTALLS) {
    const [problem, ...more] = textProblems('etc/x.service', `[Service]\n${line}\n`)
    assert.equal(problem?.key, 'etc/x.service:2', line)
    assert.match(problem.expected, /^nothing that installs or downloads at boot \(.+\)$/)
    assert.deepEqual(more, [])
  }
})

test('a comment, documentation, or a part of a word passes', () => {
  for (const line of PASSES) assert.deepEqual(textProblems('etc/x.service', line), [], line)
})

test('the files of images/system/ pass', () => {
  const folder = join(import.meta.dirname, '../../../images/system')
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  const texts = files.filter((path) => statSync(join(folder, path)).isFile())
  assert.ok(texts.length > 10)
  for (const path of texts) assert.deepEqual(textProblems(path, readFileSync(join(folder, path), 'utf8')), [])
})

const units = 'usr/lib/systemd/system'
const wants = 'etc/systemd/system/multi-user.target.wants'

async function problemsOf(t: TestContext, entries: TarEntry[], ours: string[] = []) {
  const archive = join(folderFor(t), 'root.tar')
  // As joinTars ends an archive.
  await writeTar(archive, entries, 0)
  appendFileSync(archive, Buffer.alloc(1024))
  try {
    await lintRoot(archive, ours)
  } catch (error) {
    if (error instanceof InputError) return error.problems.map(({ key }) => key).sort()
    throw error
  }
  return []
}

test('enabled units are checked, with their drop-ins and the units that they pull in', async (t) => {
  const bad = '[Service]\nExecStart=/usr/bin/apt-get update\n'
  const keys = await problemsOf(t, [
    { path: `${units}/idle.service`, content: bad },
    {
      path: `${units}/a.service`,
      content: '[Unit]\nWants=b@1.service\n[Service]\nExecStart=/usr/bin/true\n',
    },
    { path: `${units}/b@.service`, content: bad },
    { path: `${units}/a.service.d/10-more.conf`, content: '[Service]\nExecStartPre=/usr/bin/curl x\n' },
    { path: `${units}/service.d/10-all.conf`, content: '[Service]\nExecStartPost=/usr/bin/wget x\n' },
    { path: `${wants}/a.service`, link: `/${units}/a.service` },
    { path: 'usr/lib/tmpfiles.d/x.conf', content: 'd /run/x\nC /run/x - - - - /usr/bin/apt\n' },
    { path: 'usr/lib/mailfleet/setup.sh', content: 'npm ci\n' },
  ])
  assert.deepEqual(keys, [
    `${units}/a.service.d/10-more.conf:2`,
    `${units}/b@.service:2`,
    `${units}/service.d/10-all.conf:2`,
    'usr/lib/tmpfiles.d/x.conf:2',
  ])
})

test('our own files are checked, enabled or not', async (t) => {
  const script = 'usr/lib/mailfleet/setup.sh'
  assert.deepEqual(await problemsOf(t, [{ path: script, content: '\nnpm ci\n' }], [script]), [`${script}:2`])
})

test('package managers, logins and setuid files are reported, and a root without them passes', async (t) => {
  const keys = await problemsOf(t, [
    { path: 'usr/bin/apt-get', content: '' },
    { path: 'usr/bin/perl5.40', content: '' },
    { path: 'usr/sbin/sshd', content: '' },
    { path: 'etc/cloud/cloud.cfg', content: '' },
    { path: 'root/.ssh/authorized_keys', content: '' },
    { path: `${wants}/serial-getty@ttyS0.service`, link: `/${units}/serial-getty@.service` },
    { path: 'usr/bin/mount', content: '', mode: 0o4755 },
    { path: 'usr/bin/wall', content: '', mode: 0o2755 },
  ])
  assert.deepEqual(keys, [
    'etc/cloud',
    'etc/cloud/cloud.cfg',
    `${wants}/serial-getty@ttyS0.service`,
    'root/.ssh',
    'root/.ssh/authorized_keys',
    'usr/bin/apt-get',
    'usr/bin/mount',
    'usr/bin/perl5.40',
    'usr/bin/wall',
    'usr/sbin/sshd',
  ])
  assert.deepEqual(await problemsOf(t, [{ path: 'usr/bin/true', content: '', mode: 0o755 }]), [])
})
