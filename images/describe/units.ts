// The units that a root starts, and each one's settings after all drop-ins. Owns: the precedence rules of systemd.unit(5), as
// far as an image needs them (/etc over /usr/lib; no generators, no run-time units).
import { basename } from 'node:path'

/** Path → text, or target of a link, of everything below the unit folders. */
export type UnitFiles = ReadonlyMap<string, { text: string } | { link: string }>

/** `Section.Key` → values, in order. For a setting with one value the last counts. */
export type UnitProperties = Record<string, string[]>

/** In order of precedence: the administrator's files, then the packages'. */
export const UNIT_FOLDERS = ['etc/systemd/system', 'usr/lib/systemd/system']
const PULLS_IN = ['Wants', 'Requires', 'Requisite', 'BindsTo', 'Upholds', 'OnFailure', 'OnSuccess', 'Sockets']

/** Every unit that a boot starts from default.target on, with its settings. Masked units are left out. */
export function startedUnits(files: UnitFiles): Record<string, UnitProperties> {
  const found = new Map<string, UnitProperties>()
  const waiting = ['default.target']
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const unit = realName(files, name)
    if (unit === undefined || found.has(unit)) continue
    const properties = effective(files, unit)
    found.set(unit, properties)
    const named = PULLS_IN.flatMap((key) => properties[`Unit.${key}`] ?? properties[`Service.${key}`] ?? [])
    waiting.push(...named.flatMap((value) => value.split(/\s+/)).filter((other) => other.includes('.')))
    waiting.push(...wantedBy(files, unit))
  }
  return Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** The name behind an alias; undefined when there is no such unit, or it is masked. */
function realName(files: UnitFiles, name: string): string | undefined {
  const entry = fileOf(files, name)
  if (entry === undefined) return undefined
  if (!('link' in entry)) return entry.text === '' ? undefined : name
  if (entry.link === '/dev/null') return undefined
  const target = basename(entry.link)
  return target === name || target.includes('@.') ? name : realName(files, target)
}

/** The unit's own file, or its template's (`a@.service` of `a@b.service`). */
function fileOf(files: UnitFiles, name: string) {
  const names = [name, name.replace(/@[^.]+/, '@')]
  return names.flatMap((each) => UNIT_FOLDERS.map((folder) => files.get(`${folder}/${each}`))).find(Boolean)
}

function wantedBy(files: UnitFiles, unit: string): string[] {
  const folders = UNIT_FOLDERS.flatMap((folder) =>
    ['wants', 'requires', 'upholds'].map((kind) => `${folder}/${unit}.${kind}/`),
  )
  return [...files.keys()]
    .filter((path) => folders.some((folder) => path.startsWith(folder)))
    .map((path) => basename(path))
}

function effective(files: UnitFiles, unit: string): UnitProperties {
  const own = fileOf(files, unit)
  const texts = [own && 'text' in own ? own.text : '', ...dropInsOf(files, unit)]
  const properties: UnitProperties = {}
  for (const text of texts) {
    for (const [key, value] of assignments(text)) {
      if (value === '') delete properties[key]
      else (properties[key] ??= []).push(value)
    }
  }
  return Object.fromEntries(Object.entries(properties).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/**
 * Texts of a unit's drop-ins, sorted by file name. Of two with one name the more specific folder's counts: the unit's, its
 * template's, `foo-.service.d`, then `service.d`.
 */
function dropInsOf(files: UnitFiles, unit: string): string[] {
  const [stem, type] = [unit.slice(0, unit.lastIndexOf('.')), unit.slice(unit.lastIndexOf('.') + 1)]
  const parts = stem.split('-')
  const prefixes = parts.slice(1).map((_, index) => `${parts.slice(0, parts.length - 1 - index).join('-')}-`)
  const names = [stem, stem.replace(/@.+$/, '@'), ...prefixes].map((each) => `${each}.${type}`)
  const folders = [
    ...UNIT_FOLDERS.flatMap((folder) => names.map((name) => `${folder}/${name}.d/`)),
    ...UNIT_FOLDERS.map((folder) => `${folder}/${type}.d/`),
  ]
  const chosen = new Map<string, string>()
  for (const folder of new Set(folders)) {
    for (const [path, entry] of files) {
      const name = path.slice(folder.length)
      if (!path.startsWith(folder) || !name.endsWith('.conf') || name.includes('/') || chosen.has(name))
        continue
      chosen.set(name, 'text' in entry ? entry.text : '')
    }
  }
  return [...chosen].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text)
}

/** systemd.syntax(7): sections, `key=value`, comments with # and ;, and a final backslash that continues the line. */
function assignments(text: string): [string, string][] {
  let section = ''
  return text
    .replaceAll(/^\s*[#;].*\n/gm, '')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .flatMap((line): [string, string][] => {
      const header = /^\s*\[(.+)\]\s*$/.exec(line)
      if (header) section = header[1] ?? ''
      const equals = line.indexOf('=')
      if (header || equals <= 0) return []
      return [
        [
          `${section}.${line.slice(0, equals).trim()}`,
          line
            .slice(equals + 1)
            .trim()
            .replaceAll(/\s+/g, ' '),
        ],
      ]
    })
}
