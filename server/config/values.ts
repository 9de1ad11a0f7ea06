// Schemas of single settings: numbers with unit and bounds, names, paths, ports. Owns: the texts of their errors. Pure.
import * as v from 'valibot'
import { isFullName, parseAddress } from '../address.ts'

export const MIB_BYTES = 1_048_576
export const SECOND_MS = 1_000
export const MINUTE_MS = 60 * SECOND_MS
export const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS

/** A whole number of `unit`, within bounds. */
export function countOf(unit: string, least: number, most: number) {
  return wholeNumber(`a whole number of ${unit}, ${least} to ${most}`, least, most)
}

function wholeNumber(expected: string, least: number, most: number) {
  return v.pipe(
    v.number(expected),
    v.integer(expected),
    v.minValue(least, expected),
    v.maxValue(most, expected),
  )
}

export function absolutePath(what: string) {
  const expected = `an absolute path of ${what}`
  return v.pipe(v.string(expected), v.startsWith('/', expected), v.maxLength(4096, expected))
}

/** With port 0 the kernel picks a free port; the log names it. */
export const tcpPort = wholeNumber('a TCP port, 0 to 65535', 0, 65_535)
export const milliseconds = (least: number, most: number) => countOf('milliseconds', least, most)
export const fullHostName = v.pipe(
  v.string(),
  v.check(isFullName, 'a full host name such as mx1.example.net'),
  v.toLowerCase(),
)
export const mailboxAddress = v.pipe(
  v.string(),
  v.check((value) => parseAddress(value) !== null, 'a mailbox such as someone@example.org'),
)
export const hostOrAddress = v.pipe(
  v.string(),
  v.nonEmpty('a host name or IP address'),
  v.maxLength(253, 'a host name or IP address'),
)

/** A name on AWS. Only its length is checked here. */
export const awsName = (what: string) => v.pipe(v.string(what), v.nonEmpty(what), v.maxLength(2_048, what))
export const httpUrl = v.pipe(
  v.string(),
  v.url('an http or https URL'),
  v.regex(/^https?:/, 'an http or https URL'),
)
/** Name of an SSM parameter. */
export const ssmParameter = v.pipe(
  v.string(),
  v.regex(/^\/[\w.\-/]{1,1010}$/, 'the name of an SSM parameter, such as /mailfleet/prod/srs-secrets'),
)
