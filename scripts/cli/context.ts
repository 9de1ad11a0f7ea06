// What every command of the command line is given, and how it parses its options' values.
import { InvalidArgumentError } from 'commander'
import type { Project } from '../project.ts'

/** `signal` is aborted when the command is told to stop. */
export type Context = { project: Project; signal: AbortSignal }

/** Of the commands that ask for a receipt. */
export const RECEIPT_KEY = [
  '--receipt-key <file>',
  'public keys (PEM) whose receipts count; your own by default',
] as const

/** @throws {InvalidArgumentError} */
export function positiveNumber(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('expected a number above 0.')
  return value
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

/** A length of time in ms. @throws {InvalidArgumentError} */
export function duration(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([mhd])$/.exec(text) ?? []
  if (number !== undefined) return Number(number) * UNIT_MS[unit as keyof typeof UNIT_MS]
  throw new InvalidArgumentError('expected minutes, hours or days, as in 90m, 12h or 3d.')
}
