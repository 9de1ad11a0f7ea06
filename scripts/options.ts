// Options that several commands share, and the parsers of their values.
// A parser throws InvalidArgumentError, which commander reports as a usage error.
import { InvalidArgumentError, Option } from 'commander'
import { parseArchiveTarget } from '../images/archive/archive.ts'
import type { Architecture } from '../images/boot/qemu/arguments.ts'
import { isRegionName } from '../images/publish/aws/region-name.ts'
import { ARCHITECTURES, forArchitecture, type Project } from './project.ts'

/** What every command gets. `signal` is aborted when the command is told to stop. */
export type CommandContext = { project: Project; signal: AbortSignal }

/** What every action gets that can print JSON. */
export type CommonOptions = CommandContext & { json: boolean }

/** Progress goes to standard error, so that the result on standard output can be piped. */
export const progressOnStderr = (line: string): void => console.error(line)

/** For the commands that check a receipt. */
export const RECEIPT_KEY = [
  '--receipt-key <file>',
  'public keys (PEM) whose receipts count; your own by default',
] as const

/** Far longer than a boot takes, and far below the 24 days that a timer of Node holds. */
const MAX_SECONDS = 86_400

/** @throws {InvalidArgumentError} */
export function seconds(text: string): number {
  const value = Number(text)
  if (value > 0 && value <= MAX_SECONDS) return value
  throw new InvalidArgumentError(`expected seconds above 0, at most ${MAX_SECONDS}.`)
}

/** @throws {InvalidArgumentError} */
export function regionName(text: string): string {
  if (isRegionName(text)) return text
  throw new InvalidArgumentError('expected a region such as eu-west-1.')
}

/** Regions with commas between them. @throws {InvalidArgumentError} */
export function regionNames(text: string): string[] {
  const names = listed(text)
  if (names.every(isRegionName)) return names
  throw new InvalidArgumentError('expected regions such as eu-west-1, with commas between them.')
}

/** Names with commas between them. @throws {InvalidArgumentError} when there is none */
export function listed(text: string): string[] {
  const names = [...new Set(text.split(',').map((name) => name.trim()))].filter((name) => name !== '')
  if (names.length > 0) return names
  throw new InvalidArgumentError('expected names, with commas between them.')
}

const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 }
/** No image is kept for longer, and a date so far ahead can still be written. */
const MAX_DAYS = 3650

/** A length of time in ms. @throws {InvalidArgumentError} */
export function duration(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([mhd])$/.exec(text) ?? []
  if (number === undefined)
    throw new InvalidArgumentError('expected minutes, hours or days, as in 90m, 12h or 3d.')
  const ms = Number(number) * UNIT_MS[unit as keyof typeof UNIT_MS]
  if (ms <= MAX_DAYS * UNIT_MS.d) return ms
  throw new InvalidArgumentError(`expected at most ${MAX_DAYS}d.`)
}

/** For the commands that fetch packages. */
export const ARCHIVE = [
  '--archive <where>',
  'where packages are looked for before the mirror: a directory, an address, s3://bucket/prefix',
  archiveTarget,
] as const

/** Checked even when nothing is fetched. @throws {InputError} */
function archiveTarget(text: string): string {
  parseArchiveTarget(text)
  return text
}

export const architectureOption = () =>
  new Option('--arch <name>', 'the architecture of the image').choices(ARCHITECTURES).default('amd64')

/** Flags of the commands that make, lock or test an image. */
export type ImageFlags = { arch: Architecture; archive?: string; json?: true }

/** The options of an action from the flags of {@link ImageFlags}. */
export function imageOptions(
  { project, signal }: CommandContext,
  { arch, archive, json }: ImageFlags,
): CommonOptions & { archive?: string } {
  return {
    project: forArchitecture(project, arch),
    signal,
    json: json ?? false,
    ...(archive === undefined ? {} : { archive }),
  }
}
