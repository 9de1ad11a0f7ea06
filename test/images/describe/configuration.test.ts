// Which files of a root are its configuration, and how an unreadable or binary one is shown.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { configuration } from '../../../images/describe/configuration.ts'
import type { ContentFile } from '../../../images/describe/contents.ts'
import { folderFor } from '../../kit/queue/embedded-harness.ts'

test('texts, links and hashes of unreadable files are included; programs and certificates are not', (t) => {
  const tree = folderFor(t)
  const file = (path: string, content: string | Buffer, mode = '0644'): ContentFile => {
    mkdirSync(dirname(join(tree, path)), { recursive: true })
    writeFileSync(join(tree, path), content)
    return { path, type: 'file', mode, uid: 0, gid: 0, package: 'x', size: content.length, sha256: 'ab' }
  }
  const link = { path: '/etc/systemd/system/x.service', type: 'symlink', target: '/dev/null' } as ContentFile
  const files = [
    file('/etc/hosts', 'a\n'),
    file('/etc/shadow', 'root:!::\n', '0000'),
    file('/etc/binary', Buffer.from([0, 255])),
    file('/etc/ssl/certs/x.pem', 'x'),
    file('/etc/ld.so.cache', 'x'),
    file('/usr/lib/systemd/system/x.service', '[Unit]\n'),
    file('/usr/lib/systemd/systemd', Buffer.from([127, 0])),
    file('/usr/bin/x', 'x'),
    link,
  ]
  assert.deepEqual(configuration(tree, files), {
    '/etc/hosts': 'a\n',
    '/etc/shadow': '(not shown: SHA-256 ab)',
    '/etc/binary': '(not shown: SHA-256 ab)',
    '/usr/lib/systemd/system/x.service': '[Unit]\n',
    '/etc/systemd/system/x.service': '→ /dev/null',
  })
})
