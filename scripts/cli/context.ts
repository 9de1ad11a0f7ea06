// What every command of the command line is given, and how it parses its options' values.
import { InvalidArgumentError } from 'commander'
import { isRegionName } from '../../images/publish/region-name.ts'
import type { Project } from '../project.ts'

/** `signal` is aborted when the command is told to stop. */
export type Context = { project: Project; signal: AbortSignal }

/** Of the commands that ask for a receipt. */
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

/** A channel's name, which becomes part of a parameter's path. @throws {InvalidArgumentError} */
export function channelName(text: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,62}$/.test(text)) return text
  throw new InvalidArgumentError('expected lower-case letters, digits and hyphens.')
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
