// A real server process for tests: writes its configuration, starts it, follows its log, stops it.
// Owns: the child process and its folder. Both are removed when the test file ends, even after a kill.
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { FIRST_PASSED_FD } from '../../../contract/ports.ts'

export const SECRET = 'a-secret-of-tests-of-32-characters'

/** Long enough for a machine under load. A test that waits longer fails. */
const TIMEOUT_MS = 20_000

type Settings = { [key: string]: unknown }
export type LogLine = { event: string } & Record<string, unknown>

export type ServerProcessOptions = {
  /** Merged into the tests' base configuration. */
  config?: Settings
  routes?: Settings
  /** A folder of {@link testFolder}, to start on the spool of an earlier server. */
  folder?: string
  /** An inherited listening socket, as descriptor 3. */
  listenFd?: number
  /** A program with its arguments that starts the server, such as a sandbox. */
  within?: readonly string[]
  /** Merged into this process's environment; undefined removes a variable. */
  env?: NodeJS.ProcessEnv
  /** Another release's program, instead of this tree's. */
  program?: string
  /** The server's arguments, instead of those for the config file that is written. */
  args?: readonly string[]
}

export type ServerProcess = Awaited<ReturnType<typeof startServer>>

const folders: string[] = []
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A folder that is removed when the process ends. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-test-'))
  folders.push(folder)
  return folder
}

export const ROUTES = {
  domains: {
    'example.org': {
      aliases: {
        info: ['a@b.example'],
        team: ['a@b.example', 'c@d.example', 'e@f.example'],
        two: ['c@d.example', 'e@f.example'],
      },
    },
    'catch.example': { aliases: { '*': ['all@b.example'] } },
  },
}

/** Hides the metadata service of the machine that the test runs on. */
const NO_METADATA = { AWS_EC2_METADATA_SERVICE_ENDPOINT: 'http://127.0.0.1:9' }

/** Starts the program with a configuration file, and waits for nothing. */
export function spawnServer(
  configFile: string,
  {
    listenFd,
    within = [],
    env = {},
    program = join(import.meta.dirname, '../../../server/main.ts'),
    args = ['--config', configFile],
  }: Pick<ServerProcessOptions, 'listenFd' | 'within' | 'env' | 'program' | 'args'> = {},
): ChildProcess {
  const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', ...(listenFd === undefined ? [] : [listenFd])]
  // The kernel kills the server when this process ends.
  const command = ['--pdeathsig', 'KILL', ...within, process.execPath, program, ...args]
  return spawn('setpriv', command, { stdio, env: { ...process.env, ...NO_METADATA, ...env } })
}

export async function startServer(options: ServerProcessOptions) {
  const starting = launchServer(options)
  return serving(starting, (await starting.logged('listening')) as Listening)
}

export type LaunchedServer = ReturnType<typeof launchServer>
type Listening = LogLine & { pid: number } & Record<'smtp' | 'admin', { port: number }>

/** Starts a server and does not wait until it listens. */
export function launchServer({
  config = {},
  routes = ROUTES,
  folder = testFolder(),
  listenFd,
  ...options
}: ServerProcessOptions) {
  const files = writeSettings(folder, config, routes, listenFd)
  const child = spawnServer(files.config, { ...(listenFd === undefined ? {} : { listenFd }), ...options })
  const { log, logged, errors } = followLog(child)
  // A test that fails before it stops its server must not keep the test file running.
  child.unref()
  for (const stream of [child.stdout, child.stderr]) (stream as unknown as { unref: () => void }).unref()
  const exit = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal))
  })

  /** Waits for the end. @returns the exit code, or the signal that ended it */
  async function exited(): Promise<number | NodeJS.Signals | null> {
    const waiting = setTimeout(() => child.kill('SIGKILL'), 2 * TIMEOUT_MS)
    const code = await exit
    clearTimeout(waiting)
    return code
  }

  return { folder, files, log, logged, errors, exited, child }
}

function serving({ folder, files, log, logged, exited }: LaunchedServer, listening: Listening) {
  // Signal the server, not the child: the child may be the sandbox around it.
  const signal = (name: NodeJS.Signals) => process.kill(listening.pid, name)
  const admin = (path: string) => fetch(`http://127.0.0.1:${listening.admin.port}${path}`)
  return {
    folder,
    files,
    log,
    logged,
    port: listening.smtp.port,
    pid: listening.pid,
    admin,
    exited,
    /** The value of a metric, or null. The name includes its labels as Prometheus writes them. */
    metric: async (name: string): Promise<number | null> => {
      const lines = (await (await admin('/metrics')).text()).split('\n')
      const line = lines.find((text) => text.startsWith(`${name} `))
      return line === undefined ? null : Number(line.slice(name.length + 1))
    },
    signal,
    /** Drains it. @returns the exit code. */
    stop: async () => {
      signal('SIGTERM')
      return exited()
    },
  }
}

function writeSettings(folder: string, config: Settings, routes: Settings, listenFd: number | undefined) {
  const files = { config: join(folder, 'config.json'), routes: join(folder, 'routes.json') }
  const base = {
    hostname: 'mx1.example.net',
    postmaster: 'ops@mailbox.example',
    listen: {
      smtp: listenFd === undefined ? { host: '127.0.0.1', port: 0 } : { fd: FIRST_PASSED_FD },
      admin: { host: '127.0.0.1', port: 0 },
    },
    queue: { path: join(folder, 'spool'), volatile: true },
    routes: { file: files.routes, pollMs: 50 },
    srs: { domain: 'srs.example.com', secrets: [SECRET] },
    delivery: { pollMs: 20, idleMs: 500 },
  }
  writeFileSync(files.config, JSON.stringify(merge(base, config)))
  writeFileSync(files.routes, JSON.stringify(routes))
  return files
}

/** Collects the log of a server process. @returns the lines so far, and a function that waits for a line */
function followLog(child: ChildProcess) {
  const log: LogLine[] = []
  let errors = ''
  createInterface({ input: child.stdout! }).on('line', (line) => log.push(JSON.parse(line) as LogLine))
  child.stderr!.on('data', (chunk: Buffer) => (errors += chunk.toString()))

  /** The first line of `event` for which `matches` holds, now or later. */
  async function logged(event: string, matches: (line: LogLine) => boolean = () => true): Promise<LogLine> {
    const deadline = Date.now() + TIMEOUT_MS
    for (;;) {
      const found = log.find((line) => line.event === event && matches(line))
      if (found) return found
      if (Date.now() > deadline || child.exitCode !== null) {
        const lines = log.map((line) => JSON.stringify(line)).join('\n')
        throw new Error(`no "${event}" in the log:\n${lines}\n${errors}`)
      }
      await sleep(5)
    }
  }

  return { log, logged, errors: () => errors }
}

function merge(base: Settings, over: Settings): Settings {
  const merged = { ...base }
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key]
    merged[key] = isSettings(below) && isSettings(value) ? merge(below, value) : value
  }
  return merged
}

function isSettings(value: unknown): value is Settings {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
