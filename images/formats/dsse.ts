// Signatures in DSSE envelopes, and the keys for them. Owns: the envelope's format, and the accepted keys (Ed25519, ECDSA
// P-256). The payload's type is signed as well. Fails with InputError on a key that cannot be used.
import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { InputError } from '../../input/problems.ts'

/** A key, and the type of the signed payload. */
export type DsseSigner = { type: string; key: KeyObject }

export type DsseEnvelope = {
  payloadType: string
  payload: string
  signatures: { keyid: string; sig: string }[]
}

/** A DSSE envelope, https://github.com/secure-systems-lab/dsse/blob/v1.0.0/envelope.md */
export function envelopeOf(text: string, { type, key }: DsseSigner): DsseEnvelope {
  const payload = Buffer.from(text)
  const sig = sign(hashOf(key), preAuthentication(payload, type), key).toString('base64')
  const keyid = keyId(createPublicKey(key))
  return { payloadType: type, payload: payload.toString('base64'), signatures: [{ keyid, sig }] }
}

/** Whether one of the envelope's signatures is by this key, over exactly this text. */
export function isSignedBy(envelope: DsseEnvelope, text: string, { type, key }: DsseSigner): boolean {
  const payload = Buffer.from(envelope.payload, 'base64')
  if (envelope.payloadType !== type || payload.toString() !== text) return false
  return envelope.signatures.some(({ sig }) =>
    verify(hashOf(key), preAuthentication(payload, type), key, Buffer.from(sig, 'base64')),
  )
}

/** The signed bytes (DSSE, protocol.md): type and body, each after its length in bytes. */
function preAuthentication(payload: Buffer, type: string): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `
  return Buffer.concat([Buffer.from(head), payload])
}

/** Ed25519 includes its hash. */
const hashOf = (key: KeyObject) => (key.asymmetricKeyType === 'ed25519' ? null : 'sha256')

/** SHA-256 of the public key. */
export const keyId = (key: KeyObject) =>
  createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')

/** @throws {InputError} unless the file holds an accepted key. */
export function readKey(file: string, kind: 'private' | 'public'): KeyObject {
  let pem: Buffer
  try {
    pem = readFileSync(file)
  } catch (cause) {
    const found = (cause as NodeJS.ErrnoException).code ?? 'something else'
    throw new InputError(file, [{ key: '', found, expected: expectedKey(kind) }], { cause })
  }
  return parseKey(file, pem, kind)
}

/**
 * Parses a key from its PEM. Error messages never print the PEM.
 * @param place source of the PEM, for the error
 */
export function parseKey(place: string, pem: string | Buffer, kind: 'private' | 'public'): KeyObject {
  let key: KeyObject
  try {
    key = kind === 'private' ? createPrivateKey(pem) : createPublicKey(pem)
  } catch (cause) {
    throw new InputError(place, [{ key: '', found: 'something else', expected: expectedKey(kind) }], {
      cause,
    })
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'ed25519' || (type === 'ec' && details?.namedCurve === 'prime256v1')) return key
  const found = `a key of the kind ${type ?? 'secret'}`
  throw new InputError(place, [{ key: '', found, expected: expectedKey(kind) }])
}

const expectedKey = (kind: string) => `a ${kind} key in PEM without a passphrase, Ed25519 or ECDSA P-256`
