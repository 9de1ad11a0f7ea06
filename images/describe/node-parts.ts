// The parts of an image's Node binary, for scanners: Node itself and the libraries linked into it. Owns: their names in the
// CPE dictionary and the registries. A bake runs on the image's release of Node, and both architectures are built from one
// source, so process.versions names the libraries of either.

/** One component. `cpe`: its name in NVD's dictionary. */
export type NodePart = { name: string; version: string; purl: string; cpe?: string }

/** Name in process.versions → component. `cpe`: NVD's vendor and product. `npm`: it comes from npm. */
const PARTS: Record<string, { name: string; cpe?: string; npm?: true }> = {
  acorn: { name: 'acorn', npm: true },
  ada: { name: 'ada' },
  amaro: { name: 'amaro', npm: true },
  ares: { name: 'c-ares', cpe: 'c-ares:c-ares' },
  brotli: { name: 'brotli', cpe: 'google:brotli' },
  icu: { name: 'icu', cpe: 'unicode:international_components_for_unicode' },
  libffi: { name: 'libffi', cpe: 'libffi_project:libffi' },
  llhttp: { name: 'llhttp', cpe: 'llhttp:llhttp' },
  nghttp2: { name: 'nghttp2', cpe: 'nghttp2:nghttp2' },
  nghttp3: { name: 'nghttp3' },
  ngtcp2: { name: 'ngtcp2', cpe: 'ngtcp2:ngtcp2' },
  openssl: { name: 'openssl', cpe: 'openssl:openssl' },
  simdjson: { name: 'simdjson', cpe: 'simdjson:simdjson' },
  simdutf: { name: 'simdutf' },
  sqlite: { name: 'sqlite', cpe: 'sqlite:sqlite' },
  undici: { name: 'undici', cpe: 'nodejs:undici', npm: true },
  uv: { name: 'libuv', cpe: 'libuv:libuv' },
  uvwasi: { name: 'uvwasi' },
  v8: { name: 'v8', cpe: 'google:v8' },
  zlib: { name: 'zlib', cpe: 'zlib:zlib' },
  zstd: { name: 'zstd', cpe: 'facebook:zstandard' },
}

/** @throws {Error} when the bake runs on another Node than the image's, whose libraries would differ. */
export function nodeParts(
  version: string,
  versions: Readonly<Record<string, string | undefined>> = process.versions,
): { node: NodePart; libraries: NodePart[] } {
  if (versions['node'] !== version)
    throw new Error(
      `the bake runs on Node ${versions['node']}, but the image has ${version}: run it with npx mailfleet image build`,
    )
  const libraries = Object.entries(PARTS).flatMap(([key, { name, cpe, npm }]) => {
    const found = versions[key] ?? ''
    if (found === '') return []
    const purl = `pkg:${npm ? 'npm' : 'generic'}/${name}@${encodeURIComponent(found)}`
    return [{ name, version: found, purl, ...(cpe === undefined ? {} : { cpe: cpeOf(cpe, found) }) }]
  })
  const purl = `pkg:generic/node@${version}`
  return { node: { name: 'node', version, purl, cpe: cpeOf('nodejs:node.js', version) }, libraries }
}

/** A CPE 2.3 name of an application. NVD's versions lack the suffixes that Node or a fork adds. */
const cpeOf = (product: string, version: string) =>
  `cpe:2.3:a:${product}:${/^[\d.]+/.exec(version)?.[0] ?? version}:*:*:*:*:*:*:*`
