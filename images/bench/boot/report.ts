// The report of the boot benchmark: the figures of each image and their ratios. Pure. Owns the arithmetic and its shape.
import type { Accel } from '../../boot/qemu/arguments.ts'
import type { Measured, NeverServed } from './measure.ts'

export type Figures = Measured & {
  /** null where the accelerator cannot count them. */
  guestInstructions: number | null
  /** Every boot's seconds, in the order in which they were measured. The figures above are medians. */
  allSeconds: number[]
  /** Slowest less fastest, seconds. */
  spreadSeconds: number
}

export type BootBench = {
  format: 1
  createdAt: string
  accel: Accel
  cpus: number
  /** The golden image's. */
  digest: string
  /** Whether the conventional image's packages are those of its committed lock. */
  conventionalLocked: boolean
  golden: Figures
  preinstalled: Figures
  installAtBoot: Figures
  ratios: {
    /** Seconds to the first forward, other ÷ golden. */
    preinstalled: number
    installAtBoot: number
    /** Blocks of 512 KiB read until then, golden ÷ preinstalled. */
    blocks: number
  }
  /** With one package of the mirror replaced by one that cannot be installed. */
  brokenPackage: {
    installAtBootServed: boolean
    goldenServed: boolean
    /** What the golden image asked of the mirror. */
    goldenRequests: number
    /** What the other one's console said. */
    reasons: string[]
  }
  guestInstructionsReason: string
}

/** Debian's QEMU comes without the plug-in that counts instructions, and KVM does not count the guest's apart. */
const NOT_COUNTED = 'neither KVM nor this QEMU counts the instructions of a guest'

/** Medians of several boots of one image. @throws {RangeError} for none. */
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

/** The middle one, of an even number the lower of the two: a figure that was seen. @throws {RangeError} for none. */
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

/** The ratios that the golden image is to reach: at least this much faster, and at most this share of the blocks. */
export const GOALS = { preinstalled: 2.5, blocks: 0.34 }

/** What falls short, one line each; empty when nothing does. */
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
