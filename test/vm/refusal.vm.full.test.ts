// An instance with an altered root or a refused configuration shuts down at once.
// Its console shows the reason.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { chooseAccel, probeKvm } from '../../images/boot/qemu/acceleration.ts'
import { alteredCopy } from '../../images/boot/altered.ts'
import { startMachine } from '../../images/boot/qemu/machine.ts'
import { serverCredentials } from '../../images/boot/server-credentials.ts'
import { readManifest } from '../../images/describe/manifest.ts'
import { runTool } from '../../platform/sandbox.ts'
import { newestImage } from '../kit/images/baked.ts'

/** An emulated boot to this point takes 15 s on an idle machine. */
const END_TIMEOUT_MS = 180_000

/** Boots a disk, waits until the machine ends, and returns the console output. */
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

test('a root that differs in one byte of the server’s own file does not serve', async () => {
  const image = await newestImage()
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-altered-'))
  const root = readManifest(image.folder).partitions.find(({ name }) => name.startsWith('root-'))
  const { startBytes = 0, sizeBytes = 0 } = root ?? {}
  const partition = join(folder, 'root.erofs')
  writeFileSync(partition, readFileSync(image.disk).subarray(startBytes, startBytes + sizeBytes))
  const argv = ['dump.erofs', '--path=/usr/lib/mailfleet/server.mjs', '-e', '/root.erofs']
  const sandbox = { tools: image.tools, sourceDateEpoch: 1, readOnly: { '/root.erofs': partition } }
  const [, extent = ''] = /^ +0: +0\.\. *\d+ \| +\d+ : +(\d+)\.\./m.exec(await runTool(sandbox, argv)) ?? []
  const disk = alteredCopy(image.disk, folder, startBytes + Number(extent) + 1000)
  const said = await bootToTheEnd(disk, serverCredentials())
  rmSync(folder, { recursive: true, force: true })
  assert.match(said, new RegExp(`device-mapper: verity: .*data block ${Number(extent) / 4096} is corrupted`))
  assert.match(said, /Kernel panic/)
  assert.doesNotMatch(said, /"listening"/)
})

test('a configuration that the server refuses is named, and the instance turns itself off', async () => {
  const image = await newestImage()
  const said = await bootToTheEnd(image.disk, {
    'mailfleet.config': '{"hostname": 7}',
    'mailfleet.routes': '{}',
  })
  assert.match(said, /mailfleet\.config: \d+ problems/)
  assert.match(said, /hostname: expected .*, found 7/)
  assert.match(said, /reboot: Power down/)
})
