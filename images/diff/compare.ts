// What differs between two images: not their bytes, which tell nobody anything, but what they hold and how they behave.
// Owns: the sections of a comparison, and how each is read out of what lies beside a disk. Pure, save for the reading
// of a receipt. What only a boot shows is compared when both images have been booted, and named when it was not.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readReceipt, type Receipt } from '../boot/receipt.ts'
import { readDescription, type Description } from '../manifest.ts'

/** Each compares one thing, key by key. The last three are what a boot showed. */
export const SECTIONS = {
  packages: 'Debian packages',
  npm: 'npm packages',
  files: 'Files',
  setuid: 'Files with more rights (setuid, setgid, capabilities)',
  units: 'Units that start at boot',
  unitProperties: 'Settings of units',
  sysctls: 'Kernel parameters (sysctl)',
  kernelConfig: 'Kernel configuration',
  commandLine: 'Kernel command line',
  sizes: 'Sizes in bytes',
  listening: 'Listening sockets',
  outgoing: 'Addresses spoken to',
  boot: 'Boot',
} as const

export type SectionName = keyof typeof SECTIONS
export const FROM_RECEIPTS: readonly SectionName[] = ['listening', 'outgoing', 'boot']

export type Change = { key: string; kind: 'added' | 'removed' | 'changed'; before?: string; after?: string }

export type Diff = {
  /** SHA-256 of the two disks. */
  before: string
  after: string
  changes: Record<SectionName, Change[]>
  /** Of sections with numbers: key → value, in both images. */
  figures: { before: Record<string, number>; after: Record<string, number> }
  /** Images without a receipt of this version of the boot test: what only a boot shows was not compared. */
  notBooted: ('before' | 'after')[]
}

export type Side = Description & { receipt: Receipt | undefined }

/**
 * Reads an image's folder.
 * @throws {InputError} when what lies beside the disk is of an earlier format, or damaged
 */
export function readSide(folder: string): Side {
  const description = readDescription(folder)
  return { ...description, receipt: receiptOf(folder, description.manifest.digest) }
}

function receiptOf(folder: string, digest: string): Receipt | undefined {
  const file = join(folder, 'receipt.json')
  if (!existsSync(file)) return undefined
  try {
    return readReceipt(file, digest)
  } catch {
    return undefined // Of an earlier boot test: as if there were none, which the comparison says.
  }
}

/** Compares two images, the one that runs and the one that is to replace it. */
export function compareImages(before: Side, after: Side): Diff {
  const [old, fresh] = [valuesOf(before), valuesOf(after)]
  const booted = before.receipt !== undefined && after.receipt !== undefined
  const names = Object.keys(SECTIONS) as SectionName[]
  const changes = names.map((name) => {
    const compared = booted || !FROM_RECEIPTS.includes(name)
    return [name, compared ? differences(old[name], fresh[name]) : []] as const
  })
  const sides = { before, after }
  return {
    before: before.manifest.digest,
    after: after.manifest.digest,
    changes: Object.fromEntries(changes) as Record<SectionName, Change[]>,
    figures: { before: figuresOf(before), after: figuresOf(after) },
    notBooted: (['before', 'after'] as const).filter((side) => sides[side].receipt === undefined),
  }
}

type Values = ReadonlyMap<string, string>

function valuesOf(side: Side): Record<SectionName, Values> {
  const { manifest, files, kernelConfig, receipt } = side
  const named = (list: readonly { name: string; version: string }[]) =>
    new Map(list.map(({ name, version }) => [name, version]))
  const present = (list: readonly string[]) => new Map(list.map((key) => [key, '']))
  const figures = new Map(Object.entries(figuresOf(side)).map(([key, value]) => [key, String(value)]))
  const isBoot = (key: string) => /^(seconds|bytesRead|blocksRead)/.test(key)
  return {
    packages: named(
      manifest.packages.map((item) => ({
        ...item,
        name: withoutRelease(item.name, manifest.kernel.release),
      })),
    ),
    npm: new Map([
      ...present(manifest.bundled.map((name) => `${name} (bundled)`)),
      ...named(manifest.npm),
      ['node', manifest.node],
    ]),
    files: new Map(
      files.map(({ path, type, mode, uid, gid, sha256, target, package: owner }) => {
        const content = sha256?.slice(0, 16) ?? target ?? ''
        return [path, `${type} ${mode} ${uid}:${gid} ${content} (${owner})`.replace('  ', ' ')]
      }),
    ),
    setuid: present(manifest.setuid),
    units: new Map([
      ...present(Object.keys(manifest.unitProperties)),
      ...manifest.units.masked.map((unit): [string, string] => [unit, 'masked']),
    ]),
    unitProperties: new Map(
      Object.entries(manifest.unitProperties).flatMap(([unit, properties]) =>
        Object.entries(properties).map(([key, values]) => [`${unit} ${key}`, values.join(' ⏎ ')] as const),
      ),
    ),
    sysctls: new Map(Object.entries(manifest.sysctls)),
    kernelConfig: new Map(
      [...kernelConfig.matchAll(/^(CONFIG_\w+)=(.*)$/gm)].map(([, key = '', value = '']) => [key, value]),
    ),
    commandLine: commandLineOf(manifest.kernel.commandLine),
    sizes: new Map([...figures].filter(([key]) => !isBoot(key))),
    listening: present(receipt?.listening ?? []),
    outgoing: present(receipt?.outgoing ?? []),
    boot: new Map([...figures].filter(([key]) => isBoot(key))),
  }
}

/** The kernel's package has its version in its name: an update is a change, not one package for another. */
const withoutRelease = (name: string, release: string) => name.replace(`-${release}`, '')

/** Without the root's hash and salt, which follow from the files. */
function commandLineOf(text: string): Values {
  const words = text.split(' ').filter((word) => !/^(roothash|mailfleet\.verity)=/.test(word))
  return new Map(words.map((word) => [word.split('=', 1)[0] ?? word, word.slice(word.indexOf('=') + 1)]))
}

function figuresOf({ manifest, receipt }: Side): Record<string, number> {
  const boot = receipt
    ? {
        secondsToFirstForward: receipt.secondsToFirstForward,
        secondsToKernel: receipt.secondsToKernel,
        secondsToUserspace: receipt.secondsToUserspace,
        secondsToServerStart: receipt.secondsToServerStart,
        bytesRead: receipt.bytesRead,
        blocksRead: receipt.blocksRead,
      }
    : {}
  const packages = Object.entries(manifest.sizesByPackage).map(([name, bytes]) => [
    `of ${withoutRelease(name, manifest.kernel.release)}`,
    bytes,
  ])
  return { ...manifest.sizes, ...(Object.fromEntries(packages) as Record<string, number>), ...boot }
}

function differences(before: Values, after: Values): Change[] {
  const keys = [...new Set([...before.keys(), ...after.keys()])].sort()
  return keys.flatMap((key): Change[] => {
    const [old, fresh] = [before.get(key), after.get(key)]
    if (old === fresh) return []
    if (old === undefined) return [{ key, kind: 'added', after: fresh ?? '' }]
    if (fresh === undefined) return [{ key, kind: 'removed', before: old }]
    return [{ key, kind: 'changed', before: old, after: fresh }]
  })
}
