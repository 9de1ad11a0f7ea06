// The image's packet filter and socket unit open the ports of contract/ports.ts.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ADMIN_PORT, SMTP_PORT } from '../../contract/ports.ts'

const system = join(import.meta.dirname, '../../images/system')

test('the packet filter accepts new connections to the SMTP and admin ports alone', () => {
  const filter = readFileSync(join(system, 'etc/nftables.conf'), 'utf8')
  assert.ok(filter.includes(`elements = { ${SMTP_PORT}, ${ADMIN_PORT} }`))
})

test('the socket unit listens on the SMTP port', () => {
  const unit = readFileSync(join(system, 'usr/lib/systemd/system/mailfleet.socket'), 'utf8')
  assert.deepEqual(unit.match(/^ListenStream=.*$/gm), [`ListenStream=${SMTP_PORT}`])
})
