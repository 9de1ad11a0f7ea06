// Signed provenance: DSSE's test vector, both kinds of keys, and what is rejected.
import assert from 'node:assert/strict'
import { generateKeyPairSync, sign, createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { envelopeOf, isSignedBy, readKey } from '../../../images/formats/dsse.ts'
import {
  builderId,
  provenanceProblems,
  PROVENANCE_TYPE as type,
} from '../../../images/describe/provenance.ts'

const folder = mkdtempSync(join(tmpdir(), 'mailfleet-provenance-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const pairs = {
  Ed25519: generateKeyPairSync('ed25519'),
  'ECDSA P-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
}

for (const [name, { privateKey, publicKey }] of Object.entries(pairs))
  test(`${name}: signed text is accepted, another text or key is not`, () => {
    const envelope = envelopeOf('{"a":1}', { type, key: privateKey })
    assert.equal(isSignedBy(envelope, '{"a":1}', { type, key: publicKey }), true)
    assert.equal(isSignedBy(envelope, '{"a":1}', { type: 'text/plain', key: publicKey }), false)
    assert.equal(isSignedBy(envelope, '{"a":2}', { type, key: publicKey }), false)
    const payload = Buffer.from('{"a":2}').toString('base64')
    assert.equal(isSignedBy({ ...envelope, payload }, '{"a":2}', { type, key: publicKey }), false)
    const other = generateKeyPairSync('ed25519').publicKey
    assert.equal(isSignedBy(envelope, '{"a":1}', { type, key: other }), false)
    const der = publicKey.export({ type: 'spki', format: 'der' })
    assert.equal(envelope.signatures[0]?.keyid, createHash('sha256').update(der).digest('hex'))
  })

test('the signature covers DSSE’s pre-authentication encoding', () => {
  const { privateKey } = pairs.Ed25519
  const text = '{"ä":1}'
  const encoded = Buffer.from(`DSSEv1 28 application/vnd.in-toto+json 8 ${text}`)
  const expected = sign(null, encoded, privateKey).toString('base64')
  assert.equal(envelopeOf(text, { type, key: privateKey }).signatures[0]?.sig, expected)
})

test('an unusable key is an error that does not print the key', () => {
  const pem = (name: string, text: string | Buffer) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const rsa = pem('rsa.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }))
  assert.throws(() => readKey(rsa, 'private'), /expected a private key in PEM.*found a key of the kind rsa/)
  const junk = pem('junk.pem', 'hunter2')
  assert.throws(
    () => readKey(junk, 'private'),
    (error: Error) => /found /.test(error.message) && !error.message.includes('hunter2'),
  )
  assert.throws(() => readKey(join(folder, 'none.pem'), 'public'), /found ENOENT/)
})

test('missing provenance, and another image’s, are problems', () => {
  assert.deepEqual(provenanceProblems(folder, 'a', undefined), ['provenance.intoto.json: there is none'])
  writeFileSync(join(folder, 'provenance.intoto.json'), '{"subject":[{"digest":{"sha256":"b"}}]}')
  assert.deepEqual(provenanceProblems(folder, 'a', undefined), [
    'provenance.intoto.json: it is about b, not a',
  ])
  const problems = provenanceProblems(folder, 'b', pairs.Ed25519.publicKey)
  assert.deepEqual(problems, ['provenance.intoto.dsse.json: there is none'])
})

test('on GitHub the builder is the workflow', () => {
  const workflow = 'a/b/.github/workflows/golden-image.yml@refs/heads/main'
  assert.equal(builderId({ GITHUB_WORKFLOW_REF: workflow }), `https://github.com/${workflow}`)
  assert.equal(builderId({}), 'urn:mailfleet:builder:local')
})
