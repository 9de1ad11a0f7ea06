// The image's service starts the program of contract/image-paths.ts.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { NODE_PATH, SERVER_PATH } from '../../contract/image-paths.ts'

test('the image’s service unit starts the server with the image’s own Node', () => {
  const unit = join(import.meta.dirname, '../../images/system/usr/lib/systemd/system/mailfleet.service')
  const [command = ''] = /^ExecStart=.*$/m.exec(readFileSync(unit, 'utf8')) ?? []
  const words = command.replace('ExecStart=', '').split(' ')
  assert.equal(words[0], NODE_PATH)
  assert.ok(words.includes(SERVER_PATH))
})
