// What settings are made of: numbers with units and bounds, names, paths, ports. Pure. Owns: the sentences of their errors.
import * as v from 'valibot'
import { isFullName, parseAddress } from '../address.ts'

export const MIB = 1_048_576
export const SECOND = 1_000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** A whole number of something within bounds; `unit` completes the sentence of the error. */
export function count(unit: string, least: number, most: number) {
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

export function path(what: string) {
  const expected = `an absolute path of ${what}`
  return v.pipe(v.string(expected), v.startsWith('/', expected), v.maxLength(4096, expected))
}

/** 0 takes a free one; the log says which. */
export const port = wholeNumber('a TCP port, 0 to 65535', 0, 65_535)
export const milliseconds = (least: number, most: number) => count('milliseconds', least, most)
export const fullName = v.pipe(
  v.string(),
  v.check(isFullName, 'a full host name such as mx1.example.net'),
  v.toLowerCase(),
)
export const mailbox = v.pipe(
  v.string(),
  v.check((text) => parseAddress(text) !== null, 'a mailbox such as someone@example.org'),
)
export const host = v.pipe(
  v.string(),
  v.nonEmpty('a host name or IP address'),
  v.maxLength(253, 'a host name or IP address'),
)

/** A name or address of something on AWS, which AWS checks further. */
export const text = (what: string) => v.pipe(v.string(what), v.nonEmpty(what), v.maxLength(2_048, what))
export const url = v.pipe(
  v.string(),
  v.url('an http or https URL'),
  v.regex(/^https?:/, 'an http or https URL'),
)
/** Name of an SSM parameter. */
export const parameter = v.pipe(
  v.string(),
  v.regex(/^\/[\w.\-/]{1,1010}$/, 'the name of an SSM parameter, such as /mailfleet/prod/srs-secrets'),
)
