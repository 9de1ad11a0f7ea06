// The keys that sign and check receipts. Owns the user's own key, which the first boot test creates outside the checkout.
// Error messages never print a key. Fails with InputError.
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { InputError } from '../../input/problems.ts'
import { parseKey, readKey } from '../formats/dsse.ts'
import { createFileAtomic } from '../../platform/atomic-file.ts'

/** A private key: a file, or the PEM itself. */
export const PRIVATE_VARIABLE = 'MAILFLEET_RECEIPT_KEY'
/** Public keys to trust instead of the user's own: a file, or the PEM itself. */
export const PUBLIC_VARIABLE = 'MAILFLEET_RECEIPT_PUBLIC_KEY'

/** The user's own key: below $XDG_CONFIG_HOME, which must be absolute, or ~/.config (XDG Base Directory). */
export function ownKeyFile(env: NodeJS.ProcessEnv): string {
  const { XDG_CONFIG_HOME: wished = '', HOME: home = homedir() } = env
  return join(isAbsolute(wished) ? wished : join(home, '.config'), 'mailfleet/receipt-key.pem')
}

/**
 * The key that signs the receipt of a boot test: the given one, the variable's, or the user's own.
 * @param given a file with a private key
 */
export function receiptSigningKey(env: NodeJS.ProcessEnv, given?: string): KeyObject {
  if (given !== undefined) return readKey(given, 'private')
  const set = env[PRIVATE_VARIABLE] ?? ''
  return set === '' ? ownKey(ownKeyFile(env)) : privateFrom(set)
}

/**
 * The keys whose receipts count: the given ones, the variable's, or the public half of the user's signing key.
 * Empty when the user has no signing key yet.
 * @param given a file with one or more public keys
 */
export function trustedReceiptKeys(env: NodeJS.ProcessEnv, given?: string): KeyObject[] {
  if (given !== undefined) return publicFrom(given)
  const set = env[PUBLIC_VARIABLE] ?? ''
  if (set !== '') return publicFrom(set)
  const signing = env[PRIVATE_VARIABLE] ?? ''
  if (signing !== '') return [createPublicKey(privateFrom(signing))]
  const own = ownKeyFile(env)
  return existsSync(own) ? [createPublicKey(readOwnKey(own))] : []
}

const isPem = (value: string) => value.includes('-----BEGIN ')

const privateFrom = (value: string) =>
  isPem(value) ? parseKey(PRIVATE_VARIABLE, value, 'private') : readKey(value, 'private')

/** A file or text may hold several keys, so that a new key can replace an old one. */
function publicFrom(value: string): KeyObject[] {
  const [place, text] = isPem(value) ? [PUBLIC_VARIABLE, value] : [value, pemFrom(value)]
  const blocks = text.match(/-----BEGIN [^]*?-----END [A-Z ]+-----/g) ?? [text]
  return blocks.map((block) => parseKey(place, block, 'public'))
}

function pemFrom(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const found = (cause as NodeJS.ErrnoException).code ?? String(cause)
    throw new InputError(file, [{ key: '', found, expected: 'a file with public keys in PEM' }], { cause })
  }
}

/** Creates the key at first use. If two processes do this at once, both use the same key. */
function ownKey(file: string): KeyObject {
  if (existsSync(file)) return readOwnKey(file)
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const { privateKey } = generateKeyPairSync('ed25519')
  createFileAtomic(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  return readOwnKey(file)
}

/** @throws {InputError} when another user may read or replace the key, because its signature then proves nothing */
function readOwnKey(file: string): KeyObject {
  const { mode, uid } = statSync(file)
  const isOpen = (mode & 0o077) !== 0
  if (isOpen || uid !== process.getuid?.()) {
    const found = `mode ${(mode & 0o7777).toString(8).padStart(4, '0')}, owner ${uid}`
    const expected = `a file that you alone may read: chmod 600 ${file}`
    throw new InputError(file, [{ key: '', found, expected }])
  }
  return readKey(file, 'private')
}
