// The boot test: an image with its network cut off forwards mail, survives a power cut, drains, and refuses if altered.
// Owns the order of the boots and the clean-up; it never writes the image. Only a test that passes writes a receipt.
// Fails with the problem and the guest's last console lines.
import type { KeyObject } from 'node:crypto'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { hashFile } from '../cache.ts'
import { HOST_ARCHITECTURE } from '../lock-file.ts'
import { readManifest, type Manifest } from '../describe/manifest.ts'
import type { OnProgress } from '../../platform/progress.ts'
import { chooseAccel, probeKvm } from './qemu/acceleration.ts'
import { alteredCopy, refusesToBoot } from './altered.ts'
import { DEFAULT_BOUNDS } from './boot-bound.ts'
import { unexpectedDestinations } from './expected.ts'
import { examine, type Seen } from './first-boot.ts'
import { destinations } from './qemu/pcap.ts'
import { startMachine } from './qemu/machine.ts'
import type { Accel, Architecture, QemuMachine } from './qemu/arguments.ts'
import { budgetProblems, CHECKS, writeReceipt, type Receipt } from './receipt.ts'
import { describeMachine, prepareHost, type TestHost } from './test-host.ts'
import { throwProblems, turnedItselfOff, whileItRuns, type GuestWatchOptions } from './watch.ts'

/** The superblock of erofs is at byte 1024 of the root. Its last bytes are reserved and have no meaning. */
const RESERVED_BYTE = 1024 + 127

export type BootImage = {
  /** SHA-256 of the disk. */
  digest: string
  /** The folder of manifest.json. The receipt and its signature go there too. */
  folder: string
  /** The raw disk. */
  disk: string
}

export type BootTestOptions = {
  /** The private key that signs the receipt. */
  receiptKey: KeyObject
  /** The limit of each boot, also of a busy guest; see {@link DEFAULT_BOUNDS}. */
  timeoutMs?: number
  /** The longest time without a sign of life from the guest. */
  quietMs?: number
  accel?: Accel | 'auto'
  cacheDir: string
  onProgress?: OnProgress
  signal?: AbortSignal
  /** False only in the test that a guest with a network fails. */
  cutNetwork?: boolean
}

type Test = {
  image: BootImage
  manifest: Manifest
  machine: QemuMachine
  host: TestHost
  limits: GuestWatchOptions
  onProgress: OnProgress
}

/**
 * Boots the image, forwards messages through it, and writes `receipt.json` into its folder.
 * @throws {Error} with the problem and the last console lines; it then writes no receipt
 */
export async function bootTest(image: BootImage, options: BootTestOptions): Promise<Receipt> {
  const { cacheDir, signal } = options
  let lastStep = ''
  const onProgress = (line: string) => {
    lastStep = line
    options.onProgress?.(line)
  }
  const bounds = {
    timeoutMs: options.timeoutMs ?? DEFAULT_BOUNDS.timeoutMs,
    quietMs: options.quietMs ?? DEFAULT_BOUNDS.quietMs,
  }
  const manifest = readManifest(image.folder)
  await demandBytes(image)
  const boots = join(cacheDir, 'boot')
  const architecture = manifest.architecture as Architecture
  // KVM runs only guests of the host's architecture.
  const native = architecture === HOST_ARCHITECTURE
  const accel = await chooseAccel(options.accel ?? 'auto', async () => native && (await probeKvm(boots)))
  await using host = await prepareHost(boots)
  const machine = describeMachine({ disk: image.disk, architecture }, accel, host, options.cutNetwork ?? true)
  const limits = { ...bounds, capture: host.capture, signal, lastStep: () => lastStep }
  const test: Test = { image, manifest, machine, host, limits, onProgress }
  onProgress(`booting ${image.digest.slice(0, 12)} (${accel})`)
  const { held, ...facts } = await firstBoot(test)
  onProgress('its power was cut; booting it again')
  await secondBoot(test, held)
  onProgress('booting it with one byte of its root altered')
  await alteredBoot(test)
  onProgress('it refused')
  const receipt: Receipt = {
    version: 2,
    digest: image.digest,
    createdAt: new Date().toISOString(),
    accel,
    locked: manifest.locked,
    checks: [...CHECKS],
    ...facts,
    networkCut: true,
    volatileSpool: false,
    cleanShutdown: true,
  }
  writeReceipt(image.folder, receipt, options.receiptKey)
  return receipt
}

/** A receipt is bound to bytes, so the disk is hashed here and the manifest is not trusted. */
async function demandBytes({ disk, digest }: BootImage): Promise<void> {
  const found = await hashFile(disk, 'sha256')
  if (found !== digest)
    throw new Error(`${disk} is not the image ${digest}: its SHA-256 is ${found}. Bake it again.`)
}

/** Runs all checks of the first boot, up to its power cut. */
async function firstBoot(test: Test): Promise<Seen & { outgoing: string[] }> {
  const { machine, host, limits, onProgress, manifest, image } = test
  const running = await startMachine(machine, { workDir: host.folder })
  try {
    const seen = await whileItRuns(running, limits, async (signal) => {
      const found = await examine({ running, host, signal, onProgress })
      throwProblems(
        budgetProblems(manifest.budget, {
          blocksRead: found.blocksRead,
          bytes: statSync(image.disk).size,
        }),
      )
      return found
    })
    await running.kill()
    const spokenTo = destinations(host.capture)
    const attempted = `${host.live.address.host}:${host.live.address.port}`
    const problems = unexpectedDestinations(spokenTo, attempted)
    if (problems.length > 0) throw new Error(`boot test failed: ${problems.join('\n')}`)
    return { ...seen, outgoing: spokenTo.filter((destination) => destination !== `tcp ${attempted}`) }
  } finally {
    await running.kill()
  }
}

/** Checks that mail accepted before the power cut is delivered, then presses the power button. */
async function secondBoot(
  { machine, host, limits, onProgress }: Test,
  held: readonly string[],
): Promise<void> {
  // A message that arrived before the power cut proves nothing about the queue.
  throwProblems(
    held.filter(host.mailbox.hasArrived).map((id) => `message ${id} arrived while it was refused`),
  )
  host.mailbox.refuse(false)
  const running = await startMachine(machine, { workDir: host.folder })
  try {
    await whileItRuns(running, limits, async (signal) => {
      for (const id of held) await host.mailbox.arrival(id, signal)
    })
    onProgress(`all ${held.length} messages that waited when the power was cut have arrived`)
    onProgress('pressing the power button')
    await turnedItselfOff(running, limits.signal)
    onProgress('it turned itself off')
  } finally {
    await running.kill()
  }
}

async function alteredBoot({ image, manifest, machine, host, limits }: Test): Promise<void> {
  const root = manifest.partitions.find(({ name }) => name.startsWith('root-'))
  if (root === undefined) throw new Error(`the manifest of ${image.digest} names no root partition`)
  const file = alteredCopy(image.disk, host.folder, root.startBytes + RESERVED_BYTE)
  const disks = machine.disks.map((disk) => (disk.name === 'image' ? { ...disk, file } : disk))
  await refusesToBoot({ ...machine, disks }, { workDir: host.folder, ...limits })
}
