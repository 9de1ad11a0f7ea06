// The mirror of Debian packages on this machine: the one that the host's apt uses, or $MAILFLEET_MIRROR. Owns: parsing apt's
// source files (both formats). A file that cannot be parsed is skipped. Fails with an Error that names the variable to set.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Base addresses of Debian's two archives, without a trailing slash. */
export type Mirrors = { debian: string; security: string }

type Source = { uri: string; suites: string[]; components: string[] }

/**
 * The mirrors to use. `MAILFLEET_MIRROR` holds one address, or two (main, then security) separated by a space. With one
 * address, the security archive is expected beside it in `debian-security`, which is the usual layout of mirrors.
 * @throws {Error} naming the variable to set, when neither it nor apt names a Debian mirror.
 */
export function findMirrors(env: NodeJS.ProcessEnv = process.env, aptDir = '/etc/apt'): Mirrors {
  const given = (env['MAILFLEET_MIRROR'] ?? '').split(/\s+/).filter((uri) => uri !== '')
  if (given[0] !== undefined) return withSecurity(given[0], given[1])
  const sources = readSources(aptDir).filter(({ components }) => components.includes('main'))
  const security = sources.find(({ suites }) => suites.some((suite) => /(-security|\/updates)$/.test(suite)))
  const main = sources.find(
    ({ uri, suites }) => /\/debian$/.test(uri) && suites.some((suite) => !/-|\//.test(suite)),
  )
  if (main) return withSecurity(main.uri, security?.uri)
  throw new Error(
    `no Debian mirror in ${aptDir}: set MAILFLEET_MIRROR to the address of one (the folder that holds dists/ and pool/)`,
  )
}

function withSecurity(main: string, security?: string): Mirrors {
  const debian = main.replace(/\/+$/, '')
  return {
    debian,
    security: (security ?? `${debian.replace(/\/debian$/, '')}/debian-security`).replace(/\/+$/, ''),
  }
}

function readSources(aptDir: string): Source[] {
  const parts = join(aptDir, 'sources.list.d')
  const files = [
    join(aptDir, 'sources.list'),
    ...(existsSync(parts) ? readdirSync(parts).sort() : []).map((name) => join(parts, name)),
  ]
  return files
    .filter((file) => existsSync(file))
    .flatMap((file) => {
      const text = readFileSync(file, 'utf8')
      if (file.endsWith('.sources')) return parseDeb822(text)
      return file.endsWith('.list') ? parseOneLine(text) : []
    })
}

/** One-line format, sources.list(5): `deb [options] uri suite component…`. */
export function parseOneLine(text: string): Source[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line)
    if (!match) return []
    const [, uri = '', suite = '', components = ''] = match
    return mirrorsOf(uri).map((mirror) => ({ uri: mirror, suites: [suite], components: words(components) }))
  })
}

/** deb822 format, sources.list(5): stanzas of `Key: value`, continued lines indented, `#` comments. */
export function parseDeb822(text: string): Source[] {
  const lines = text.split('\n').filter((line) => !line.startsWith('#'))
  return lines
    .join('\n')
    .split(/\n\s*\n/)
    .flatMap((stanza) => {
      const fields = new Map(
        [...stanza.matchAll(/^([A-Za-z-]+):((?:.*)(?:\n[ \t].*)*)/gm)].map(([, key = '', value = '']) => [
          key.toLowerCase(),
          words(value),
        ]),
      )
      if (!fields.get('types')?.includes('deb') || fields.get('enabled')?.[0] === 'no') return []
      const suites = fields.get('suites') ?? []
      const components = fields.get('components') ?? []
      return (fields.get('uris') ?? []).flatMap(mirrorsOf).map((uri) => ({ uri, suites, components }))
    })
}

/** Debian's cloud images name a file with a list of mirrors, best first, instead of one mirror. */
function mirrorsOf(uri: string): string[] {
  if (!uri.startsWith('mirror+file:')) return isHttp(uri) ? [trimSlash(uri)] : []
  const file = uri.slice('mirror+file:'.length).replace(/^\/\/(?=\/)/, '')
  return existsSync(file) ? words(readFileSync(file, 'utf8')).filter(isHttp).map(trimSlash) : []
}

const isHttp = (uri: string) => /^https?:\/\//.test(uri)
const trimSlash = (uri: string) => uri.replace(/\/+$/, '')
const words = (text: string) => text.split(/\s+/).filter((part) => part !== '')
