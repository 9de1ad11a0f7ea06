// The user data of conventional instances.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import {
  installingUserData,
  preinstalledUserData,
  serverUnit,
} from '../../../../images/bench/boot/user-data.ts'
import { serverCredentials } from '../../../../images/boot/server-credentials.ts'

type CloudConfig = {
  write_files: { path: string; content: string; owner?: string; permissions?: string }[]
  packages?: string[]
  runcmd?: string[][]
}

function read(text: string): CloudConfig {
  assert.equal(text.split('\n')[0], '#cloud-config')
  return parse(text) as CloudConfig
}

test("a pre-installed server's configuration is the golden image's, but for its paths and port", () => {
  const { write_files: files, packages } = read(preinstalledUserData())
  assert.equal(packages, undefined)
  for (const { path, owner, permissions } of files)
    assert.deepEqual([path.split('/')[2], owner, permissions], ['mailfleet', 'root:mailfleet', '0640'])
  const { 'mailfleet.config': text = '', ...others } = serverCredentials()
  const given = new Map(files.map(({ path, content }) => [path, content]))
  for (const [name, content] of Object.entries(others))
    assert.equal(given.get(`/etc/mailfleet/${name}`), content)
  const config = given.get('/etc/mailfleet/config.json') ?? ''
  const expected = JSON.parse(
    text.replaceAll('/run/credentials/mailfleet.service/', '/etc/mailfleet/'),
  ) as Record<string, object>
  assert.deepEqual(JSON.parse(config), {
    ...expected,
    listen: { ...expected['listen'], smtp: { host: '0.0.0.0', port: 25 } },
    queue: { ...expected['queue'], path: '/var/spool/mailfleet' },
  })
  // The server does not start if the configuration names a file that the user data does not write.
  const named = [...config.matchAll(/"(\/etc\/mailfleet\/[^"]+)"/g)].map(([, path = '']) => path)
  assert.ok(named.length > 0)
  assert.deepEqual(
    named.filter((path) => !given.has(path)),
    [],
  )
})

test('an instance that installs is given one source, one package and one command', () => {
  const { write_files: files, packages, runcmd } = read(installingUserData())
  const content = (path: string) => files.find((file) => file.path === path)?.content
  assert.equal(content('/etc/apt/sources.list.d/mirror.list'), 'deb [trusted=yes] http://10.0.2.101/apt ./\n')
  assert.deepEqual(packages, ['nodejs'])
  assert.deepEqual(runcmd, [['/usr/local/sbin/install-mailfleet']])
  const installer = content('/usr/local/sbin/install-mailfleet') ?? ''
  assert.match(installer, /^#!\/bin\/sh\nset -e\n/)
  assert.match(installer, /^npm ci /m)
  assert.equal(content('/etc/systemd/system/mailfleet.service'), serverUnit('/usr/bin/node'))
})
