// Real machines without an image: the firmware finds nothing to boot.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { chooseAccel, probeKvm } from '../../../../images/boot/qemu/acceleration.ts'
import { bootTest } from '../../../../images/boot/boot-test.ts'
import { hashFile } from '../../../../images/cache.ts'
import { manifestOf } from '../../../kit/images/fake-manifests.ts'
import { startMachine } from '../../../../images/boot/qemu/machine.ts'

const folder = mkdtempSync(join(tmpdir(), 'mailfleet-qemu-'))
after(() => rmSync(folder, { recursive: true }))

/** The emulated firmware reports an empty disk within the first limit. The others are for a busy machine. */
const LIMITS_MS = [15_000, 60_000, 180_000]

/** Processes whose command line mentions `path`: QEMU, its sandbox, its relays. */
function processesUsing(path: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(path)
      } catch {
        return false
      }
    })
}

const receiptKey = generateKeyPairSync('ed25519').privateKey

test('a disk that does not boot ends at the time limit, with the console’s last lines, and leaves nothing', async () => {
  const image = join(folder, 'empty')
  const cacheDir = join(folder, 'hang')
  mkdirSync(image)
  writeFileSync(join(image, 'manifest.json'), JSON.stringify(manifestOf()))
  const disk = join(image, 'disk.raw')
  writeFileSync(disk, '')
  truncateSync(disk, 16 * 1024 * 1024)
  const digest = await hashFile(disk, 'sha256')
  const boot = (timeoutMs: number) =>
    bootTest({ digest, folder: image, disk }, { cacheDir, timeoutMs, receiptKey, accel: 'tcg' })
  let said = ''
  for (const limitMs of LIMITS_MS) {
    await assert.rejects(boot(limitMs), (error: Error) => {
      said = error.message
      return (
        said.startsWith(
          `boot test failed: not done after ${limitMs / 1000} s, while the guest was still at work.`,
        ) && /--timeout SECONDS\. \(after: booting [0-9a-f]{12} \(tcg\)\)\nThe console/.test(said)
      )
    })
    if (said.includes('BdsDxe')) break
  }
  assert.match(
    said,
    /\nThe console's last lines:\n[^]*BdsDxe: failed to load Boot0001 "UEFI QEMU NVMe Ctrl image/,
  )
  assert.deepEqual(processesUsing(cacheDir), [])
  assert.deepEqual(readdirSync(join(cacheDir, 'boot')), [])
  assert.deepEqual(readdirSync(image).sort(), ['disk.raw', 'manifest.json'])
})

test('the caller can stop a boot test', async () => {
  const image = join(folder, 'empty')
  const stop = new AbortController()
  const options = { cacheDir: join(folder, 'stop'), accel: 'tcg' as const, signal: stop.signal }
  const onProgress = () => void setTimeout(() => stop.abort(new Error('told to stop')), 500)
  const disk = join(image, 'disk.raw')
  const digest = await hashFile(disk, 'sha256')
  const running = bootTest({ digest, folder: image, disk }, { ...options, receiptKey, onProgress })
  await assert.rejects(running, /told to stop/)
  assert.deepEqual(processesUsing(options.cacheDir), [])
})

test('bytes that are not those of the image are not booted', async () => {
  const image = join(folder, 'empty')
  const disk = join(image, 'disk.raw')
  const cacheDir = join(folder, 'other-bytes')
  await assert.rejects(
    bootTest({ digest: '0'.repeat(64), folder: image, disk }, { cacheDir, receiptKey }),
    /disk\.raw is not the image 0{64}: its SHA-256 is [0-9a-f]{64}/,
  )
  assert.equal(existsSync(cacheDir), false)
})

test('a machine that QEMU will not start is an error in QEMU’s words', async () => {
  const disks = [{ name: 'image', file: join(folder, 'missing.raw'), writable: false }]
  const workDir = join(folder, 'refused')
  await assert.rejects(
    startMachine({ accel: 'tcg', disks }, { workDir }),
    /QEMU did not start: .*missing\.raw/s,
  )
  assert.deepEqual(readdirSync(workDir), [])
})

test('a parent killed with SIGKILL takes its machine along, and the next run clears up', async () => {
  const workDir = join(folder, 'orphan')
  const script = `
    const { startMachine } = await import('${join(import.meta.dirname, '../../../../images/boot/qemu/machine.ts')}')
    await startMachine({ accel: 'tcg', disks: [], memoryMiB: 128 }, { workDir: '${workDir}' })
    console.log('started')
    setInterval(() => {}, 1000)`
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(parent.stdout, 'data')
  assert.ok(processesUsing(`${workDir}/run-`).length > 0)
  parent.kill('SIGKILL')
  await once(parent, 'exit')
  for (let left = 100; left > 0 && processesUsing(`${workDir}/run-`).length > 0; left--) await sleep(50)
  assert.deepEqual(processesUsing(`${workDir}/run-`), [])
  assert.equal(readdirSync(workDir).length, 1)
  const next = await startMachine({ accel: 'tcg', disks: [], memoryMiB: 128 }, { workDir })
  assert.equal(readdirSync(workDir).length, 1)
  await next.kill()
  assert.deepEqual(readdirSync(workDir), [])
})

test('KVM is found to work or not, and auto follows', async (t) => {
  const works = await probeKvm(join(folder, 'kvm'))
  t.diagnostic(`KVM ${works ? 'works' : 'does not work'} here`)
  assert.equal(await chooseAccel('auto', () => Promise.resolve(works)), works ? 'kvm' : 'tcg')
  assert.deepEqual(processesUsing(join(folder, 'kvm')), [])
})
