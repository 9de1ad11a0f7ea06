// An instance that must not serve ends, at once and with a reason on its console: a root that was altered, a
// configuration that the server refuses.
import assert from 'node:assert/strict'
import { closeSync, copyFileSync, constants, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { chooseAccel, probeKvm } from '../../images/boot/accel.ts'
import { startMachine } from '../../images/boot/qemu.ts'
import { readManifest } from '../../images/manifest.ts'
import { bakedImage } from './baked.ts'

/** A boot to the point where these end takes 15 s emulated and alone. */
const END_TIMEOUT_MS = 180_000

/** Boots a disk until the machine ends, and returns what the console said. */
async function bootToTheEnd(disk: string, credentials: Record<string, string>): Promise<string> {
  const workDir = mkdtempSync(join(tmpdir(), 'mailfleet-refusal-'))
  const accel = await chooseAccel('auto', () => probeKvm(workDir))
  const machine = await startMachine(
    { accel, disks: [{ name: 'root', file: disk, writable: false }], credentials },
    { workDir },
  )
  const timeout = setTimeout(() => void machine.kill(), END_TIMEOUT_MS)
  const { signal } = await machine.ended
  clearTimeout(timeout)
  rmSync(workDir, { recursive: true, force: true })
  const said = machine.console.tail(200).join('\n')
  assert.equal(signal, undefined, `the machine did not end by itself:\n${said}`)
  return said
}

test('a root that differs in one byte does not boot', async () => {
  const image = await bakedImage()
  const root = readManifest(image.folder).partitions.find(({ name }) => name.startsWith('root-'))
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-altered-'))
  const disk = join(folder, 'disk.raw')
  copyFileSync(image.disk, disk, constants.COPYFILE_FICLONE)
  const file = openSync(disk, 'r+')
  // The superblock of erofs lies at byte 1024; its last bytes are reserved and without a meaning.
  writeSync(file, Buffer.from([1]), 0, 1, (root?.startBytes ?? 0) + 1024 + 127)
  closeSync(file)
  const said = await bootToTheEnd(disk, {})
  rmSync(folder, { recursive: true, force: true })
  assert.match(said, /device-mapper: verity: .*data block 0 is corrupted/)
  assert.match(said, /Kernel panic/)
})

test('a configuration that the server refuses is named, and the instance turns itself off', async () => {
  const image = await bakedImage()
  const said = await bootToTheEnd(image.disk, {
    'mailfleet.config': '{"hostname": 7}',
    'mailfleet.routes': '{}',
  })
  assert.match(said, /mailfleet\.config: \d+ problems/)
  assert.match(said, /hostname: expected .*, found 7/)
  assert.match(said, /reboot: Power down/)
})
