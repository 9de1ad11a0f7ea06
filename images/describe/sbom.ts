// The software bill of materials beside a disk, sbom.cdx.json (CycloneDX 1.6). Owns: an image's components, their package
// URLs and hashes. Equal images give equal text: the serial number comes from the digest, the time from the lock.
import { createHash } from 'node:crypto'
import type { DebFacts, SourcePackage } from './deb-facts.ts'
import { licenseOf } from './licences.ts'
import type { Lock, LockedDeb, LockedNpm } from '../lock-file.ts'
import type { NpmComponent } from '../lock/npm.ts'
import { nodeParts, type NodePart } from './node-parts.ts'
import { uuidFrom } from '../../platform/uuid-from-hex.ts'
import type { Spec } from '../spec.ts'

export const SBOM = 'sbom.cdx.json'

/** Tools with files in the image but outside the root: in the initrd, and systemd's stub around the kernel. */
const IN_UKI = ['busybox-static', 'dmsetup', 'libdevmapper1.02.1', 'systemd-boot-efi']

export type SbomInputs = {
  spec: Spec
  lock: Lock
  /** SHA-256 of disk.raw. */
  digest: string
  /** npm packages whose code is in the server's bundle. */
  bundled: readonly NpmComponent[]
  /** Package → bytes in the root. */
  sizes: Readonly<Record<string, number>>
  /** By SHA-256 of a .deb. */
  facts: Readonly<Record<string, DebFacts>>
  /** Debian's release number, as `/usr/lib/os-release` has it. */
  debian: string
}

type Component = { 'bom-ref': string } & Record<string, unknown>
type Dependency = { ref: string; dependsOn?: string[] }

/** The .debs with files in the image. */
export function debsInImage(lock: Lock): LockedDeb[] {
  const tools = (lock.target ?? lock.tools).filter(({ name }) => IN_UKI.includes(name))
  const all = [...lock.root, ...tools, lock.kernel]
  return [...new Map(all.map((deb) => [deb.sha256, deb])).values()]
}

/** The bill of materials as text. Format: https://cyclonedx.org/docs/1.6/json/ */
export function sbomText(inputs: SbomInputs): string {
  const { spec, lock, digest, bundled, sizes, debian } = inputs
  const debs = debsInImage(lock).map((deb) => debComponent(deb, inputs))
  const sources = sourceComponents(inputs)
  const native = lock.native.map((item) => npmComponent(item, 'library', sizes))
  const inBundle = bundled.filter(
    ({ name, version }) => !lock.native.some((item) => item.name === name && item.version === version),
  )
  const node = npmComponent(lock.node, 'application', sizes)
  const parts = nodeParts(lock.node.version)
  const [runtime, ...libraries] = [parts.node, ...parts.libraries].map(partComponent)
  const system = systemComponent(debian)
  const components = [
    system,
    ...debs,
    ...sources.components,
    node,
    runtime!,
    ...libraries,
    ...native,
    ...inBundle.map((item) => npmComponent(item, 'library', {})),
  ].sort(byRef)
  const image = `image:${digest}`
  const dependencies: Dependency[] = [
    { ref: image, dependsOn: components.map(({ 'bom-ref': ref }) => ref) },
    { ref: runtime!['bom-ref'], dependsOn: libraries.map(({ 'bom-ref': ref }) => ref).sort() },
    ...sources.dependencies,
  ]
  const bom = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${serialNumber(digest)}`,
    version: 1,
    metadata: {
      timestamp: new Date(lock.sourceDateEpoch * 1000).toISOString(),
      // Scanners take the one operating-system component as the running system. That is Debian, below.
      component: {
        type: 'platform',
        'bom-ref': image,
        name: spec.name,
        version: digest.slice(0, 12),
        hashes: [{ alg: 'SHA-256', content: digest }],
      },
    },
    components,
    dependencies,
  }
  return `${JSON.stringify(bom, null, 2)}\n`
}

const byRef = (a: { 'bom-ref': string }, b: { 'bom-ref': string }) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1)

/** The component by which scanners choose their advisories. Grype reads syft's properties, Trivy its own. */
function systemComponent(debian: string): Component {
  return {
    type: 'operating-system',
    'bom-ref': `os:debian-${debian}`,
    name: 'debian',
    version: debian,
    cpe: `cpe:2.3:o:debian:debian_linux:${debian}:*:*:*:*:*:*:*`,
    properties: [
      { name: 'aquasecurity:trivy:Class', value: 'os-pkgs' },
      { name: 'aquasecurity:trivy:Type', value: 'debian' },
      { name: 'syft:distro:id', value: 'debian' },
      { name: 'syft:distro:versionID', value: debian },
    ],
  }
}

/** Each source package once, and the source of each .deb. Debian's advisories name sources. */
function sourceComponents(inputs: SbomInputs): { components: Component[]; dependencies: Dependency[] } {
  const components = new Map<string, Component>()
  const dependencies = debsInImage(inputs.lock).map((deb): Dependency => {
    const { name, version } = inputs.facts[deb.sha256]!.source
    const purl = `pkg:deb/debian/${encode(name)}@${encode(version)}?arch=source&distro=debian-${inputs.debian}`
    components.set(purl, { type: 'library', 'bom-ref': purl, name, version, purl })
    return { ref: debPurl(deb, inputs), dependsOn: [purl] }
  })
  return { components: [...components.values()], dependencies }
}

function partComponent({ name, version, purl, cpe }: NodePart): Component {
  const type = name === 'node' ? 'application' : 'library'
  // The bundle may contain undici and acorn as well, in another version or the same.
  return { type, 'bom-ref': `node:${purl}`, name, version, purl, ...(cpe === undefined ? {} : { cpe }) }
}

/** A version 8 UUID ("vendor specific", RFC 9562, 5.8) from the digest. */
function serialNumber(digest: string): string {
  const hex = createHash('sha256').update(`sbom ${digest}`).digest('hex')
  return uuidFrom(`${hex.slice(0, 12)}8${hex.slice(13, 16)}8${hex.slice(17)}`)
}

function debPurl({ sha256, name, version, architecture }: LockedDeb, { facts, debian }: SbomInputs): string {
  const { source } = facts[sha256]!
  const other = source.name !== name || source.version !== version
  const sourceVersion = source.version === version ? '' : `@${source.version}`
  const upstream = other ? `&upstream=${encodeURIComponent(`${source.name}${sourceVersion}`)}` : ''
  return `pkg:deb/debian/${encode(name)}@${encode(version)}?arch=${architecture}&distro=debian-${debian}${upstream}`
}

function debComponent(deb: LockedDeb, inputs: SbomInputs): Component {
  const { name, version, sha256 } = deb
  const { source, licenses } = inputs.facts[sha256]!
  const purl = debPurl(deb, inputs)
  return {
    type: 'library',
    'bom-ref': purl,
    name,
    version,
    purl,
    hashes: [{ alg: 'SHA-256', content: sha256 }],
    ...(licenses.length === 0 ? {} : { licenses: licenses.map(licenseOf) }),
    properties: [...sourceProperties(source), ...sizeOf(inputs.sizes[name])],
  }
}

/** Trivy reads the source package from these only, with its version in the parts of Debian policy 5.6.12. */
function sourceProperties({ name, version }: SourcePackage) {
  const [, epoch, upstream = '', revision] = /^(?:(\d+):)?(.*?)(?:-([^-]*))?$/.exec(version) ?? []
  const parts = {
    SrcName: name,
    SrcVersion: upstream,
    SrcRelease: revision,
    SrcEpoch: epoch,
    PkgType: 'debian',
  }
  return Object.entries(parts).flatMap(([key, value]) =>
    value === undefined ? [] : [{ name: `aquasecurity:trivy:${key}`, value }],
  )
}

function npmComponent(
  item: LockedNpm & { license?: string },
  type: string,
  sizes: Readonly<Record<string, number>>,
): Component {
  const { name, version, integrity, license } = item
  const size = sizeOf(sizes[`npm:${name}`])
  const purl = `pkg:npm/${name.split('/').map(encode).join('/')}@${encode(version)}`
  return {
    type,
    'bom-ref': purl,
    name,
    version,
    purl,
    hashes: [
      { alg: 'SHA-512', content: Buffer.from(integrity.replace(/^sha512-/, ''), 'base64').toString('hex') },
    ],
    ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
    ...(size.length === 0 ? {} : { properties: size }),
  }
}

/** 0 when no file of the package is left in the root. */
const sizeOf = (bytes: number | undefined) =>
  bytes === undefined ? [] : [{ name: 'mailfleet:bytesInRoot', value: String(bytes) }]

/** Package URLs do not escape `:` and `~` (purl-spec, "Character encoding"). */
const encode = (text: string) => encodeURIComponent(text).replaceAll('%3A', ':')
