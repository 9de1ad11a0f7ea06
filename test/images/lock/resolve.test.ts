// Parsing the packages that apt chose.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePrintedUri } from '../../../images/lock/resolve.ts'

const mirrors = { debian: 'http://m.example/debian', security: 'http://m.example/debian-security' }
const hash = 'b'.repeat(64)

test('address, version with epoch and hash become a locked package without a host', () => {
  const line = `'http://m.example/debian/pool/main/g/glibc/libc6_2.41-12%2bdeb13u5_amd64.deb' libc6_1%3a2.41-12+deb13u5_amd64.deb 2850108 SHA256:${hash}`
  assert.deepEqual(parsePrintedUri(line, mirrors), {
    name: 'libc6',
    version: '1:2.41-12+deb13u5',
    architecture: 'amd64',
    archive: 'debian',
    filename: 'pool/main/g/glibc/libc6_2.41-12+deb13u5_amd64.deb',
    sizeBytes: 2850108,
    sha256: hash,
  })
})

test('the security archive is recognised although its address begins like the main one’s', () => {
  const line = `'http://m.example/debian-security/pool/updates/main/o/openssl/openssl_3.5_amd64.deb' openssl_3.5_amd64.deb 7 SHA256:${hash}`
  assert.equal(parsePrintedUri(line, mirrors).archive, 'security')
})

test('an unexpected line of apt is an error', () => {
  assert.throws(
    () => parsePrintedUri("'http://m.example/debian/pool/x.deb' x_1_amd64.deb 7 MD5Sum:abc", mirrors),
    /an unexpected line/,
  )
  assert.throws(
    () => parsePrintedUri(`'http://else.example/x.deb' x_1_amd64.deb 7 SHA256:${hash}`, mirrors),
    /outside/,
  )
})
