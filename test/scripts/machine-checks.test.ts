// The checks of `mailfleet doctor`: each problem is found, and comes with its mend.
import assert from 'node:assert/strict'
import { mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  checkKvmDevice,
  checkMemory,
  checkPrograms,
  checksText,
  checkSpace,
  checkSystem,
  runChecks,
} from '../../scripts/machine-checks.ts'

test('a system that is not Debian 12 or 13 is named', () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'doctor-'))
  const file = join(folder.path, 'os-release')
  const written = (text: string) => {
    writeFileSync(file, text)
    return checkSystem(file)
  }
  assert.equal(written('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n').status, 'ok')
  assert.equal(written('ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian 11"\n').status, 'warning')
  assert.match(written('ID=fedora\nPRETTY_NAME="Fedora"\n').found, /Fedora/)
})

test('missing programs are named, with the command that installs them', () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'doctor-'))
  const { status, found, mend } = checkPrograms({ PATH: folder.path })
  assert.equal(status, 'problem')
  assert.match(found, /bwrap.*apt-get install.*bubblewrap/)
  assert.equal(mend, 'node scripts/setup.mjs')
})

test('a machine without KVM gets a warning, not a problem', () => {
  assert.equal(checkKvmDevice('/nonexistent').status, 'warning')
})

test('the group to join is named when this user may not open the KVM device', () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'doctor-'))
  const device = join(folder.path, 'kvm')
  writeFileSync(device, '')
  const refuse = () => {
    throw new Error('EACCES')
  }
  assert.match(checkKvmDevice(device, refuse).mend ?? '', /--groups kvm/)
})

test('too little memory or space is a problem, also for a folder that does not exist yet', () => {
  assert.equal(checkMemory(1024 ** 3).status, 'problem')
  assert.equal(checkMemory(4 * 1024 ** 3).status, 'ok')
  const path = join(tmpdir(), 'not', 'made', 'yet')
  assert.equal(checkSpace(path, 0).status, 'ok')
  const full = checkSpace(path, Number.MAX_SAFE_INTEGER)
  assert.equal(full.status, 'problem')
  assert.match(full.mend ?? '', /MAILFLEET_CACHE/)
})

test('a check that throws is a problem, and the others still run', async () => {
  const results = await runChecks([
    {
      name: 'broken',
      quick: true,
      run: () => {
        throw new Error('unexpected')
      },
    },
    { name: 'sound', quick: true, run: () => ({ status: 'ok', found: 'fine' }) },
  ])
  assert.equal(checksText(results), '✖ broken  unexpected\n✔ sound   fine')
})
