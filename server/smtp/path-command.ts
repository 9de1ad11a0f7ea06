// Parses the arguments of MAIL and RCPT: the path and its parameters. Pure; returns null for text that does not parse.
// Accepts paths without angle brackets, with a source route, or with a quoted local part (RFC 1123 section 1.2.2).
// address.ts checks the address itself.

export type PathCommand = {
  /** Empty for the null reverse path. */
  address: string
  args: false | Record<string, string | true>
  /** The name of a parameter that the client sent twice. */
  duplicate?: string
}

/** A path in angle brackets, or up to the next space. Quoted strings may contain both. */
const BRACKETED = /^<((?:"(?:[^"\\]|\\.)*"|[^">])*)>(.*)$/
const BARE = /^((?:"(?:[^"\\]|\\.)*"|[^"\s<>])+)(.*)$/

/** RFC 5321 section 4.1.2 and appendix C: a source route must be accepted and should be ignored. */
const SOURCE_ROUTE = /^@[^\s,:@"]+(?:,@[^\s,:@"]+)*:/

const PARAMETER = /^([a-z0-9][a-z0-9-]*)(?:=([^\s=]+))?$/i

// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x1f\x7f-\x9f\u200b\u2060\ufeff]/

/** @param name 'MAIL FROM' or 'RCPT TO', in any case @returns null if `line` is not that command with a path */
export function parsePathCommand(name: string, line: string): PathCommand | null {
  const colon = line.indexOf(':')
  const verb = line.slice(0, Math.max(colon, 0)).trim().replace(/\s+/g, ' ')
  if (verb.toLowerCase() !== name.trim().toLowerCase()) return null
  const text = line.slice(colon + 1).trim()
  const [, path, rest] = BRACKETED.exec(text) ?? BARE.exec(text) ?? []
  if (path === undefined || rest === undefined || CONTROL.test(path) || /^\S/.test(rest)) return null
  const parameters = parseParameters(rest.trim())
  return parameters === null ? null : { address: path.trim().replace(SOURCE_ROUTE, ''), ...parameters }
}

function parseParameters(text: string): Pick<PathCommand, 'args' | 'duplicate'> | null {
  if (text === '') return { args: false }
  const args: Record<string, string | true> = {}
  let duplicate: string | undefined
  for (const parameter of text.split(/\s+/)) {
    const [, key, value] = PARAMETER.exec(parameter) ?? []
    if (key === undefined || CONTROL.test(parameter)) return null
    const name = key.toUpperCase()
    if (Object.hasOwn(args, name)) duplicate = name
    args[name] = value ?? true
  }
  return duplicate === undefined ? { args } : { args, duplicate }
}
