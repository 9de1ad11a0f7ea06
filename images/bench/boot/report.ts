// The report of the boot benchmark: the figures of each image and their ratios. Pure. Owns the arithmetic and its shape.
import type { Accel } from '../../boot/qemu/arguments.ts'
import type { Measured, NeverServed } from './measure.ts'

export type Figures = Measured & {
  /** null where the accelerator cannot count them. */
  guestInstructions: number | null
  /** Seconds of every boot, in the order measured. The figures above are medians. */
  allSeconds: number[]
  /** Slowest minus fastest boot, seconds. */
  spreadSeconds: number
}

export type BootBench = {
  format: 1
  createdAt: string
  accel: Accel
  cpus: number
  /** The golden image's digest. */
  digest: string
  /** Whether the conventional image was made from its committed lock. */
  conventionalLocked: boolean
  golden: Figures
  preinstalled: Figures
  installAtBoot: Figures
  ratios: {
    /** Seconds to the first forward, other ÷ golden. */
    preinstalled: number
    installAtBoot: number
    /** Blocks of 512 KiB read until the first forward, golden ÷ preinstalled. */
    blocks: number
  }
  /** The boots while one package of the mirror cannot be installed. */
  brokenPackage: {
    installAtBootServed: boolean
    goldenServed: boolean
    /** Requests of the golden image to the mirror. */
    goldenRequests: number
    /** Failure messages on the other image's console. */
    reasons: string[]
  }
  guestInstructionsReason: string
}

/** Debian's QEMU lacks the plug-in that counts instructions. KVM does not count a guest's separately. */
const NOT_COUNTED = 'neither KVM nor this QEMU counts the instructions of a guest'

/** Medians of several boots of one image. @throws {RangeError} for an empty list. */
export function figures(boots: readonly Measured[]): Figures {
  const seconds = boots.map(({ secondsToFirstForward }) => secondsToFirstForward)
  return {
    secondsToFirstForward: median(seconds),
    bytesRead: median(boots.map(({ bytesRead }) => bytesRead)),
    blocksRead: median(boots.map(({ blocksRead }) => blocksRead)),
    guestInstructions: null,
    allSeconds: seconds,
    spreadSeconds: round(Math.max(...seconds) - Math.min(...seconds)),
  }
}

/** The middle number, or the lower of two, so that it was measured. @throws {RangeError} for an empty list. */
export function median(numbers: readonly number[]): number {
  const middle = numbers.toSorted((a, b) => a - b)[Math.floor((numbers.length - 1) / 2)]
  if (middle === undefined) throw new RangeError('no figures')
  return middle
}

export type Findings = {
  accel: Accel
  cpus: number
  digest: string
  conventionalLocked: boolean
  golden: Measured[]
  preinstalled: Measured[]
  installAtBoot: Measured[]
  broken: NeverServed | { served: true }
  goldenServed: boolean
  goldenRequests: number
}

/** Puts the report together. */
export function bootReport(o: Findings): BootBench {
  const { accel, cpus, digest, conventionalLocked } = o
  const [golden, preinstalled, installAtBoot] = [o.golden, o.preinstalled, o.installAtBoot].map(figures) as [
    Figures,
    Figures,
    Figures,
  ]
  const slower = (other: Figures) => round(other.secondsToFirstForward / golden.secondsToFirstForward)
  return {
    format: 1,
    createdAt: new Date().toISOString(),
    accel,
    cpus,
    digest,
    conventionalLocked,
    golden,
    preinstalled,
    installAtBoot,
    ratios: {
      preinstalled: slower(preinstalled),
      installAtBoot: slower(installAtBoot),
      blocks: round(golden.blocksRead / preinstalled.blocksRead),
    },
    brokenPackage: {
      installAtBootServed: o.broken.served,
      goldenServed: o.goldenServed,
      goldenRequests: o.goldenRequests,
      reasons: o.broken.served ? [] : o.broken.reasons,
    },
    guestInstructionsReason: NOT_COUNTED,
  }
}

/** The goals of the golden image: at least this many times faster, and at most this share of the blocks. */
export const GOALS = { preinstalled: 2.5, blocks: 0.34 }

/** One line for each missed goal. */
export function shortfalls({ ratios, brokenPackage }: BootBench): string[] {
  const { installAtBootServed, goldenServed, goldenRequests } = brokenPackage
  return [
    ...(ratios.preinstalled < GOALS.preinstalled
      ? [`${ratios.preinstalled} × faster than the pre-installed image, not ${GOALS.preinstalled}`]
      : []),
    ...(ratios.blocks > GOALS.blocks
      ? [`${ratios.blocks} of the pre-installed image's blocks read, not ${GOALS.blocks}`]
      : []),
    ...(installAtBootServed ? ['the installation with a broken package served'] : []),
    ...(goldenServed ? [] : ['the golden image did not serve beside a broken mirror']),
    ...(goldenRequests > 0 ? [`the golden image asked the mirror ${goldenRequests} times`] : []),
  ]
}

const round = (number: number) => Math.round(number * 100) / 100
