// An SRS domain that DMARC aligns with one of our domains is refused at start and at a reload of the routes.
import assert from 'node:assert/strict'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { launchServer, ROUTES, startServer, testFolder } from '../../kit/server/server-process.ts'
import { openGreetedDialog } from '../../../mailkit/smtp-dialog.ts'

const aligned = { domains: { 'example.com': { aliases: { info: ['a@b.example'] } } } }

test('an SRS domain aligned with the hostname: exit 2, with the domain and the setting that accepts it', async () => {
  const starting = launchServer({ config: { srs: { domain: 'srs.example.net' } } })
  assert.equal(await starting.exited(), 2)
  assert.match(
    starting.errors(),
    /config\.json: 1 problem\n {2}srs\.domain: expected a domain outside example\.net, or srs\.acknowledgeAligned: example\.net, found srs\.example\.net, which DMARC aligns with mx1\.example\.net/,
  )
})

test('an SRS domain aligned with a routed domain: exit 2', async () => {
  const starting = launchServer({ routes: aligned })
  assert.equal(await starting.exited(), 2)
  assert.match(starting.errors(), /routes\.json: 1 problem\n {2}srs\.domain: .* aligns with example\.com/)
})

test('with the right acknowledged domain the server starts; with another domain it exits with 2', async () => {
  const acknowledged = { srs: { acknowledgeAligned: 'example.com' } }
  const instance = await startServer({ config: acknowledged, routes: aligned })
  assert.equal(await instance.stop(), 0)
  const other = launchServer({ config: { srs: { acknowledgeAligned: 'example.org' } }, routes: aligned })
  assert.equal(await other.exited(), 2)
  assert.match(other.errors(), /srs\.acknowledgeAligned: expected example\.com, /)
})

test('a reload with an aligned domain: the last good table stays in use, and the log has the reason', async () => {
  const folder = testFolder()
  const instance = await startServer({ folder })
  const replace = (routes: object) => {
    writeFileSync(join(folder, 'new.json'), JSON.stringify(routes))
    renameSync(join(folder, 'new.json'), join(folder, 'routes.json'))
  }
  replace({ domains: { ...ROUTES.domains, ...aligned.domains } })
  await instance.logged('routes-broken', ({ error }) => /aligns with example\.com/.test(String(error)))
  const dialog = await openGreetedDialog(instance.port)
  await dialog.say('MAIL FROM:<a@sender.example>')
  assert.match((await dialog.say('RCPT TO:<info@example.org>')) ?? '', /^250 /)
  assert.match((await dialog.say('RCPT TO:<info@example.com>')) ?? '', /^550 /)
  dialog.end()
  replace(ROUTES)
  await instance.logged('routes-loaded')
  assert.equal(await instance.stop(), 0)
})

test('routes without the alias that postmaster names: exit 2', async () => {
  const starting = launchServer({ config: { postmaster: 'ops@example.org' } })
  assert.equal(await starting.exited(), 2)
  assert.match(starting.errors(), /domains\.example\.org\.aliases: expected an alias ops, since the setting/)
})
