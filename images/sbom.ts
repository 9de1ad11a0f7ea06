// The software bill of materials beside a disk, sbom.cdx.json: CycloneDX 1.6. Owns: which components an image has, their
// package URLs and hashes. Pure, and the same for the same image: its serial number is the digest's, its time the
// lock's.
import { createHash } from 'node:crypto'
import type { Lock, LockedDeb, LockedNpm } from './lock/lock.ts'
import type { NpmComponent } from './lock/npm.ts'
import { uuidFrom } from './rootfs.ts'
import type { Spec } from './spec.ts'

export const SBOM = 'sbom.cdx.json'

/** Tools of which something lies in the image outside of the root: in the initrd, and systemd's stub around the kernel. */
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
}

/** The bill of materials as text. Format: https://cyclonedx.org/docs/1.6/json/ */
export function sbomText({ spec, lock, digest, bundled, sizes }: SbomInputs): string {
  const tools = (lock.target ?? lock.tools).filter(({ name }) => IN_UKI.includes(name))
  const known = new Set(lock.root.map(({ sha256 }) => sha256))
  const debs = [
    ...lock.root.map((deb) => debComponent(deb, spec, 'library', sizes)),
    ...tools.filter(({ sha256 }) => !known.has(sha256)).map((deb) => debComponent(deb, spec, 'library', {})),
    debComponent(lock.kernel, spec, 'operating-system', sizes),
  ]
  const native = lock.native.map((item) => npmComponent(item, 'library', sizes))
  const inBundle = bundled.filter(({ name }) => !lock.native.some((item) => item.name === name))
  const components = [
    ...debs,
    npmComponent(lock.node, 'application', sizes),
    ...native,
    ...inBundle.map((item) => npmComponent(item, 'library', {})),
  ].sort((a, b) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1))
  const image = `image:${digest}`
  const bom = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${serialNumber(digest)}`,
    version: 1,
    metadata: {
      timestamp: new Date(lock.sourceDateEpoch * 1000).toISOString(),
      component: {
        ...{ type: 'operating-system', 'bom-ref': image, name: spec.name, version: digest.slice(0, 12) },
        hashes: [{ alg: 'SHA-256', content: digest }],
      },
    },
    components,
    dependencies: [{ ref: image, dependsOn: components.map((component) => component['bom-ref']) }],
  }
  return `${JSON.stringify(bom, null, 2)}\n`
}

/** A UUID of version 8, "vendor specific" (RFC 9562, 5.8), out of the digest. */
function serialNumber(digest: string): string {
  const hex = createHash('sha256').update(`sbom ${digest}`).digest('hex')
  return uuidFrom(`${hex.slice(0, 12)}8${hex.slice(13, 16)}8${hex.slice(17)}`)
}

function debComponent(deb: LockedDeb, spec: Spec, type: string, sizes: Readonly<Record<string, number>>) {
  const { name, version, architecture, sha256 } = deb
  const purl = `pkg:deb/debian/${encode(name)}@${encode(version)}?arch=${architecture}&distro=${spec.suite}`
  return {
    ...{ type, 'bom-ref': purl, name, version, purl },
    hashes: [{ alg: 'SHA-256', content: sha256 }],
    ...sizeOf(sizes[name]),
  }
}

function npmComponent(
  item: LockedNpm & { license?: string },
  type: string,
  sizes: Readonly<Record<string, number>>,
) {
  const { name, version, integrity, license } = item
  const purl = `pkg:npm/${name.split('/').map(encode).join('/')}@${encode(version)}`
  return {
    ...{ type, 'bom-ref': purl, name, version, purl },
    hashes: [
      { alg: 'SHA-512', content: Buffer.from(integrity.replace(/^sha512-/, ''), 'base64').toString('hex') },
    ],
    ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
    ...sizeOf(sizes[`npm:${name}`]),
  }
}

/** 0 when nothing of the package is left in the root. */
const sizeOf = (bytes: number | undefined) =>
  bytes === undefined ? {} : { properties: [{ name: 'mailfleet:bytesInRoot', value: String(bytes) }] }

/** Package URLs keep `:` and `~` as they are (purl-spec, "Character encoding"). */
const encode = (text: string) => encodeURIComponent(text).replaceAll('%3A', ':')
