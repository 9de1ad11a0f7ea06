// Licences as CycloneDX names them. Owns: the SPDX names for Debian's short names. A name without one stays as it is.

/** https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/#license-short-name → https://spdx.org/licenses/ */
const SPDX: Record<string, string> = {
  'Apache-2.0': 'Apache-2.0',
  'Artistic-2.0': 'Artistic-2.0',
  'BSD-2-clause': 'BSD-2-Clause',
  'BSD-3-clause': 'BSD-3-Clause',
  'BSD-4-clause': 'BSD-4-Clause',
  'BSL-1.0': 'BSL-1.0',
  'CC0-1.0': 'CC0-1.0',
  Expat: 'MIT',
  ISC: 'ISC',
  'MPL-2.0': 'MPL-2.0',
  Zlib: 'Zlib',
  zlib: 'Zlib',
}

/** `GPL-2+` → `GPL-2.0-or-later`; `GPL-2` and `GPL-2.0` → `GPL-2.0-only`. */
function gnu(name: string): string | undefined {
  const [, family, major, minor = '0', orLater] = /^(L?GPL|AGPL)-([123])(?:\.(\d))?(\+)?$/.exec(name) ?? []
  if (family === undefined) return undefined
  return `${family}-${major}.${minor}-${orLater === '+' ? 'or-later' : 'only'}`
}

export function licenseOf(name: string): { license: { id: string } | { name: string } } {
  const id = SPDX[name] ?? gnu(name)
  return { license: id === undefined ? { name } : { id } }
}
