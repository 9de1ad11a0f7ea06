// The receipt key is made once, also by parallel callers. Only its owner can read it. A given key replaces it.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { ownKeyFile, receiptSigningKey, trustedReceiptKeys } from '../../../images/boot/receipt-key.ts'
import { folderFor } from '../../kit/queue/embedded-harness.ts'

const publicPem = (key: KeyObject) => createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString()
const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString()

test('the user’s own key lies in the configuration folder, outside of any checkout', () => {
  assert.equal(ownKeyFile({ HOME: '/home/x' }), '/home/x/.config/mailfleet/receipt-key.pem')
  assert.equal(ownKeyFile({ HOME: '/h', XDG_CONFIG_HOME: '/c' }), '/c/mailfleet/receipt-key.pem')
  const relative = ownKeyFile({ HOME: '/h', XDG_CONFIG_HOME: 'c' })
  assert.equal(relative, '/h/.config/mailfleet/receipt-key.pem')
})

test('the key is made at first use, for its owner alone, and trusted from then on', (t) => {
  const env = { XDG_CONFIG_HOME: folderFor(t) }
  assert.deepEqual(trustedReceiptKeys(env), [])
  const key = receiptSigningKey(env)
  assert.equal(key.asymmetricKeyType, 'ed25519')
  assert.equal(publicPem(receiptSigningKey(env)), publicPem(key))
  assert.deepEqual(trustedReceiptKeys(env).map(pem), [publicPem(key)])
  assert.equal(statSync(ownKeyFile(env)).mode & 0o7777, 0o600)
  assert.equal(statSync(dirname(ownKeyFile(env))).mode & 0o7777, 0o700)
  assert.deepEqual(readdirSync(dirname(ownKeyFile(env))), ['receipt-key.pem'])
})

test('processes that start at once agree on one key', async (t) => {
  const XDG_CONFIG_HOME = folderFor(t)
  const module = join(import.meta.dirname, '../../../images/boot/receipt-key.ts')
  const program = `import { createPublicKey } from 'node:crypto'
    const { receiptSigningKey } = await import(${JSON.stringify(module)})
    console.log(createPublicKey(receiptSigningKey(process.env)).export({ type: 'spki', format: 'pem' }))`
  const run = () =>
    promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
      env: { XDG_CONFIG_HOME },
    })
  const printed = await Promise.all(Array.from({ length: 4 }, run))
  assert.equal(new Set(printed.map(({ stdout }) => stdout)).size, 1)
  assert.deepEqual(readdirSync(join(XDG_CONFIG_HOME, 'mailfleet')), ['receipt-key.pem'])
})

test('a key that others may read is refused', (t) => {
  const env = { XDG_CONFIG_HOME: folderFor(t) }
  receiptSigningKey(env)
  chmodSync(ownKeyFile(env), 0o644)
  const expected = /you alone may read: chmod 600 .*, found mode 0644/
  assert.throws(() => receiptSigningKey(env), expected)
  assert.throws(() => trustedReceiptKeys(env), expected)
})

test('a given key, or a variable’s as text or file, takes the place of one’s own; an empty variable does not', (t) => {
  const XDG_CONFIG_HOME = folderFor(t)
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const other = generateKeyPairSync('ed25519').publicKey
  const text = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const [file, publicFile] = [join(XDG_CONFIG_HOME, 'key.pem'), join(XDG_CONFIG_HOME, 'keys.pub')]
  writeFileSync(file, text)
  writeFileSync(publicFile, pem(publicKey) + pem(other))
  for (const env of [{ MAILFLEET_RECEIPT_KEY: text }, { MAILFLEET_RECEIPT_KEY: file }]) {
    assert.equal(publicPem(receiptSigningKey({ ...env, XDG_CONFIG_HOME })), pem(publicKey))
    assert.deepEqual(trustedReceiptKeys({ ...env, XDG_CONFIG_HOME }).map(pem), [pem(publicKey)])
  }
  assert.equal(publicPem(receiptSigningKey({ XDG_CONFIG_HOME }, file)), pem(publicKey))
  for (const keys of [
    trustedReceiptKeys({ XDG_CONFIG_HOME }, publicFile),
    trustedReceiptKeys({ XDG_CONFIG_HOME, MAILFLEET_RECEIPT_PUBLIC_KEY: publicFile }),
    trustedReceiptKeys({ XDG_CONFIG_HOME, MAILFLEET_RECEIPT_PUBLIC_KEY: readFileSync(publicFile, 'utf8') }),
  ])
    assert.deepEqual(keys.map(pem), [pem(publicKey), pem(other)])
  const empty = { XDG_CONFIG_HOME, MAILFLEET_RECEIPT_KEY: '', MAILFLEET_RECEIPT_PUBLIC_KEY: '' }
  assert.deepEqual(trustedReceiptKeys(empty), [])
})

test('no error prints a key', () => {
  const MAILFLEET_RECEIPT_KEY = '-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----'
  assert.throws(
    () => receiptSigningKey({ MAILFLEET_RECEIPT_KEY }),
    (error: Error) => /^MAILFLEET_RECEIPT_KEY: /.test(error.message) && !error.message.includes('hunter2'),
  )
})
