// A real server process for tests: its config written, started, waited for, listened to, stopped.
// Owns: the child and its folder; both are gone when the test file ends, even if that is killed.
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { FIRST_PASSED_FD } from '../../../contract/ports.ts'

export const SECRET = 'a-secret-of-tests-of-32-characters'

/** Long enough for a machine under load; a test that waits longer hangs. */
const TIMEOUT_MS = 20_000

type Settings = { [key: string]: unknown }
export type LogLine = { event: string } & Record<string, unknown>

export type ServerProcessOptions = {
  /** Laid over the test's base configuration, object by object. */
  config?: Settings
  routes?: Settings
  /** A folder made by {@link testFolder}, to start on the spool of an instance before. */
  folder?: string
  /** An inherited listening socket, as descriptor 3. */
  listenFd?: number
  /** A program with arguments that the server's own are put after: a sandbox, say. */
  within?: readonly string[]
  /** Laid over this process's environment; undefined takes a variable away. */
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

/** A machine that tests run on may have a metadata service of its own: it is none of theirs. */
const NO_METADATA = { AWS_EC2_METADATA_SERVICE_ENDPOINT: 'http://127.0.0.1:9' }

/** Runs the program on a config, as {@link startServer} does, without waiting for anything. */
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
  // The kernel ends it with its parent, whatever ends that.
  const command = ['--pdeathsig', 'KILL', ...within, process.execPath, program, ...args]
  return spawn('setpriv', command, { stdio, env: { ...process.env, ...NO_METADATA, ...env } })
}

export async function startServer(options: ServerProcessOptions) {
  const starting = launchServer(options)
  return serving(starting, (await starting.logged('listening')) as Listening)
}

export type LaunchedServer = ReturnType<typeof launchServer>
type Listening = LogLine & { pid: number } & Record<'smtp' | 'admin', { port: number }>

/** Starts a server without waiting for it to listen: it may be kept waiting, or end. */
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
  // A test that fails before it stops its instance must not keep the test file from ending.
  child.unref()
  for (const stream of [child.stdout, child.stderr]) (stream as unknown as { unref: () => void }).unref()
  const exit = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal))
  })

  /** Waits for the end. @returns the exit code, or the signal that ended it. */
  async function exited(): Promise<number | NodeJS.Signals | null> {
    const waiting = setTimeout(() => child.kill('SIGKILL'), 2 * TIMEOUT_MS)
    const code = await exit
    clearTimeout(waiting)
    return code
  }

  return { folder, files, log, logged, errors, exited, child }
}

function serving({ folder, files, log, logged, exited }: LaunchedServer, listening: Listening) {
  // Not the child: that may be the sandbox around it.
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
    /** The value of a metric, its labels included in the name as Prometheus writes them; null when there is none. */
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

/** The log of a server process so far, and a way to wait for a line of it. */
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
