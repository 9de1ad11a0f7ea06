// A baked root: no package manager, no account to become, confined units, and packet filter rules that the kernel accepts.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { extractRoot } from '../../../images/bake/extract-root.ts'
import { readManifest } from '../../../images/describe/manifest.ts'
import { newestImage, project } from '../../kit/images/baked.ts'

let root: string
before(async () => {
  root = await extractRoot(await newestImage(), { cacheDir: project.cacheDir })
})

function inside(...argv: string[]) {
  const sandbox = [
    '--die-with-parent',
    '--unshare-all',
    '--uid',
    '0',
    '--gid',
    '0',
    '--ro-bind',
    root,
    '/',
    '--proc',
    '/proc',
    '--dev',
    '/dev',
    '--tmpfs',
    '/run',
    '--tmpfs',
    '/tmp',
  ]
  return execFileSync('bwrap', [...sandbox, ...argv], { encoding: 'utf8' })
}

test('the root has no package manager, no downloader, no interpreter but Node and one shell, and no namespace tool', () => {
  const programs = ['usr/bin', 'usr/sbin', 'usr/local/bin', 'usr/local/sbin'].flatMap((folder) =>
    readdirSync(join(root, folder)),
  )
  assert.ok(programs.includes('systemctl') && programs.includes('nft'))
  const unwanted =
    /^(apt|dpkg|debconf|deb-|update-|invoke-rc|perl|python|pip|npm|npx|node$|curl|wget|git|gcc|ssh|su$|sudo|login$|.*getty|r?bash|[mng]?awk$|sed$|tar$|nsenter|unshare|setpriv|chroot|runuser|losetup|pivot_root|systemd-run|systemd-mount|busctl)/
  assert.deepEqual(
    programs.filter((name) => unwanted.test(name)),
    [],
  )
})

test('the clock starts at the date of the lock or later', async () => {
  const { folder } = await newestImage()
  const { sourceDateEpoch } = readManifest(folder)
  // systemd takes the time of this file when the machine's own clock is behind it.
  assert.equal(statSync(join(root, 'usr/lib/clock-epoch')).mtimeMs, sourceDateEpoch * 1000)
})

/** systemd's own measure, 0 (shut in) to 10 (open): see systemd-analyze(1), "security". */
const EXPOSURE = { 'mailfleet.service': 2.0, 'power-button.service': 2.0 }

for (const [unit, limit] of Object.entries(EXPOSURE))
  test(`the exposure of ${unit} is at most ${limit}`, () => {
    const text = inside('systemd-analyze', 'security', '--offline=true', '--no-pager', unit)
    const exposure = /exposure level for \S+: ([\d.]+)/.exec(text)?.[1]
    assert.ok(Number(exposure) <= limit, `${exposure}\n${text}`)
  })

test('systemd-analyze finds no problem in the units', () => {
  const units = ['mailfleet.service', 'mailfleet.socket', 'power-button.service', 'nftables.service']
  const argv = ['systemd-analyze', 'verify', '--man=no', ...units]
  assert.doesNotMatch(
    inside('/usr/bin/sh', '-c', `${argv.join(' ')} 2>&1`),
    /mailfleet|power-button|nftables/,
  )
})

test('nft accepts the packet filter’s rules, and none of them uses connection tracking', () => {
  const rules = readFileSync(join(root, 'etc/nftables.conf'), 'utf8')
  assert.doesNotMatch(rules.replaceAll(/#.*/g, ''), /\b(ct|conntrack|nat)\b/)
  const modules = readdirSync(join(root, 'usr/lib/modules'), { recursive: true, encoding: 'utf8' })
  assert.deepEqual(
    modules.filter((path) => /conntrack|nft_ct|nat/.test(path)),
    [],
  )
  for (const name of ['nf_tables.ko', 'nfnetlink.ko', 'nft_limit.ko'])
    assert.ok(
      modules.some((path) => path.endsWith(`/${name}`)),
      name,
    )
})
