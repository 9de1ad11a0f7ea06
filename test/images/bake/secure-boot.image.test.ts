// An image signed for Secure Boot: its kernel image has the signature of the given key only, equal inputs give equal bytes,
// and unusable files are an error before the bake.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { buildImage } from '../../../images/bake/bake.ts'
import { readManifest } from '../../../images/describe/manifest.ts'
import { readSecureBootKey } from '../../../images/bake/secure-boot.ts'
import { runTool } from '../../../platform/sandbox.ts'
import { folderFor } from '../../kit/queue/embedded-harness.ts'
import { newestImage, project } from '../../kit/images/baked.ts'

const fixtures = join(import.meta.dirname, '../../fixtures/secure-boot')
const file = (name: string) => join(fixtures, `${name}.pem`)
const own = { keyFile: file('own.key'), certificateFile: file('own.cert') }

test('the kernel image is signed by the given key', async (t) => {
  const { specFile, lockFile, localLockFile: relockInto, cacheDir, serverEntry } = project
  const outDir = folderFor(t)
  const options = { specFile, lockFile, relockInto, cacheDir, serverEntry, outDir, secureBoot: own }
  const signed = await buildImage(options)
  const plain = await newestImage()
  assert.notEqual(signed.digest, plain.digest)
  assert.equal(await verdict(t, signed, 'own'), 'OK')
  assert.equal(await verdict(t, signed, 'other'), 'refused')
  assert.equal(await verdict(t, plain, 'own'), 'refused')
  // Authenticode leaves the signature out: the measurement of both is one.
  assert.equal(readManifest(signed.folder).rootHash, readManifest(plain.folder).rootHash)
  const secret = readFileSync(own.keyFile, 'utf8').split('\n')[1] ?? ''
  assert.ok(!readFileSync(signed.disk).includes(secret))
})

type Image = { folder: string; disk: string; tools: string }

async function verdict(t: TestContext, { folder, disk, tools }: Image, name: string): Promise<string> {
  const esp = readManifest(folder).partitions.find((partition) => partition.name === 'esp')
  const sandbox = {
    tools,
    sourceDateEpoch: 1,
    cwd: '/work',
    readOnly: { '/disk': disk, '/certificate.pem': file(`${name}.cert`) },
    writable: { '/work': folderFor(t) },
  }
  const at = `/disk@@${esp?.startBytes ?? 0}`
  await runTool(sandbox, ['mcopy', '-i', at, '::/EFI/BOOT/BOOTX64.EFI', 'uki.efi'])
  const checking = runTool(sandbox, ['sbverify', '--cert', '/certificate.pem', 'uki.efi'])
  const said = await checking.catch(() => 'refused')
  return said.includes('Signature verification OK') ? 'OK' : said
}

test('the error lists all problems of key and certificate', () => {
  assert.match(readSecureBootKey(own).id, /^[0-9a-f]{64}$/)
  const problem = (files: typeof own, pattern: RegExp) =>
    assert.throws(() => readSecureBootKey(files), pattern)
  problem(
    { ...own, certificateFile: file('other.cert') },
    /certificate: expected the certificate of .*, found another key's/,
  )
  problem(
    { keyFile: join(fixtures, 'none'), certificateFile: own.keyFile },
    /2 problems\n.*key: expected an RSA key .*, found ENOENT\n.*certificate: expected an X\.509 certificate/,
  )
  const elliptic = join(import.meta.dirname, '../../fixtures/tls/key.pem')
  problem({ ...own, keyFile: elliptic }, /key: expected an RSA key .*, found a key of the kind/)
})
