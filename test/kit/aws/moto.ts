// moto, the AWS that tests talk to over HTTP: one server a test file, on a free port of 127.0.0.1, ended with it.
// Owns: the server's process and how to reach it. `skip` says why there is none (setup could not install it); a moto
// that is installed and does not start fails the file.
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** Python on a machine under load takes its time to import all of AWS; past this it hangs. */
const START_MS = 120_000

const PROGRAM = join(import.meta.dirname, '../../../build/venv/bin/moto_server')
/** Written by scripts/setup.mjs once everything is installed. */
const INSTALLED = join(import.meta.dirname, '../../../build/venv/requirements.sha256')

export type Moto = {
  /** For the `skip` of every test that uses this: false, or why there is no moto. */
  skip: string | false
  /** What every client of the AWS SDK is made with. */
  client: {
    endpoint: string
    region: string
    credentials: { accessKeyId: string; secretAccessKey: string }
  }
  /** The same, for a process of its own that takes them from its environment. */
  env: Record<string, string>
}

/** Starts moto. Call it once, at the top of a test file whose name ends in `.moto.test.ts`. */
export async function startMoto(): Promise<Moto> {
  if (!existsSync(INSTALLED))
    return moto('http://127.0.0.1:9', 'moto is not installed: node scripts/setup.mjs --test')
  // The kernel ends it with the test file, whatever ends that.
  const args = ['--pdeathsig', 'KILL', PROGRAM, '-H', '127.0.0.1', '-p', '0']
  const child = spawn('setpriv', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  process.on('exit', () => child.kill('SIGKILL'))
  const endpoint = await answering(child)
  // Its log is read to the end, so that the pipe never fills, but neither holds the test file open.
  child.unref()
  ;(child.stderr as unknown as { unref: () => void }).unref()
  return moto(endpoint, false)
}

/** The address that moto says it runs on; it says so once it listens. */
async function answering(child: ChildProcess): Promise<string> {
  const said: string[] = []
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const fail = (why: string) => reject(new Error(`moto ${why}:\n${said.join('\n')}`))
  const timer = setTimeout(() => fail(`did not start within ${START_MS} ms`), START_MS)
  child.once('error', reject)
  child.once('exit', (code, signal) => fail(`ended (${code ?? signal})`))
  createInterface({ input: child.stderr! }).on('line', (line) => {
    const address = /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(line)?.[1]
    if (address !== undefined) resolve(address)
    else if (said.length < 100) said.push(line)
  })
  return promise.finally(() => clearTimeout(timer))
}

function moto(endpoint: string, skip: string | false): Moto {
  const region = 'eu-west-1'
  const credentials = { accessKeyId: 'testing', secretAccessKey: 'testing' }
  const env = {
    AWS_ENDPOINT_URL: endpoint,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  }
  return { skip, client: { endpoint, region, credentials }, env }
}
