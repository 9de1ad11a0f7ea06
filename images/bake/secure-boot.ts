// The key and certificate that sign the kernel image for UEFI Secure Boot. Owns: the checks of both. The signing tool reads
// the key in its sandbox; nothing copies it. Fails with InputError, all problems at once, before the bake starts.
import { createHash, createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { InputError, type Problem } from '../../input/problems.ts'

export type SecureBootFiles = {
  /** Private key, PEM. */
  keyFile: string
  /** Its X.509 certificate, PEM. */
  certificateFile: string
}

/** Absolute paths, and the certificate's SHA-256, which is part of the image's identity. */
export type SecureBootKey = SecureBootFiles & { id: string }

/**
 * Checks key and certificate. Firmware verifies RSA (UEFI specification, section 32.5.3.3), and all of it 2048 bits.
 * @throws {InputError} when one cannot be used, or the certificate belongs to another key.
 */
export function readSecureBootKey(files: SecureBootFiles): SecureBootKey {
  const problems: Problem[] = []
  const key = attempt(files.keyFile, createPrivateKey)
  const certificate = attempt(files.certificateFile, (pem) => new X509Certificate(pem))
  if (key instanceof Error || !isUsable(key))
    problems.push({
      key: 'key',
      found: foundOf(key),
      expected: 'an RSA key of at least 2048 bits in PEM, without a passphrase',
    })
  if (certificate instanceof Error)
    problems.push({
      key: 'certificate',
      found: foundOf(certificate),
      expected: 'an X.509 certificate in PEM',
    })
  if (!(key instanceof Error) && !(certificate instanceof Error) && !certificate.checkPrivateKey(key))
    problems.push({
      key: 'certificate',
      found: "another key's",
      expected: `the certificate of ${files.keyFile}`,
    })
  if (certificate instanceof Error || problems.length > 0)
    throw new InputError(`${files.keyFile} and ${files.certificateFile}`, problems)
  return {
    keyFile: resolve(files.keyFile),
    certificateFile: resolve(files.certificateFile),
    id: createHash('sha256').update(certificate.raw).digest('hex'),
  }
}

function attempt<T>(file: string, read: (pem: Buffer) => T): T | Error {
  try {
    return read(readFileSync(file))
  } catch (error) {
    return error as Error
  }
}

function isUsable({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  return asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= 2048
}

function foundOf(value: KeyObject | X509Certificate | Error): string {
  if (value instanceof Error) return (value as NodeJS.ErrnoException).code ?? 'something else'
  return 'asymmetricKeyType' in value
    ? `a key of the kind ${value.asymmetricKeyType ?? 'secret'}`
    : 'a certificate'
}
