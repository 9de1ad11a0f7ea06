// Runs one program in a sandbox (bubblewrap). The program comes from a folder that holds a Debian system. It
// gets no network, a fixed environment, and only the folders that the caller names, so the host's software
// has no effect. It ends when this process ends. Fails with the program's own output.
import { join } from 'node:path'
import { execa } from 'execa'

export type Sandbox = {
  /** Folder of the system whose programs run. */
  tools: string
  sourceDateEpoch: number
  /** Path inside → path outside. */
  readOnly?: Record<string, string>
  writable?: Record<string, string>
  /** Variables beside those that are the same for every program. */
  environment?: Record<string, string>
  cwd?: string
}

/**
 * Runs one program to its end, with `input` on its standard input, and returns its output.
 * @throws {Error} with the program's last lines when it fails.
 */
export async function runTool(sandbox: Sandbox, argv: readonly string[], input = ''): Promise<string> {
  const { stdout, all, failed } = await execa('bwrap', [...sandboxArguments(sandbox), ...argv], {
    all: true,
    reject: false,
    input,
    stripFinalNewline: true,
  })
  if (failed) throw new Error(`${argv[0]} failed: ${all.trim().split('\n').slice(-20).join('\n')}`)
  return stdout
}

function sandboxArguments(sandbox: Sandbox): string[] {
  const { tools, sourceDateEpoch, readOnly = {}, writable = {}, cwd } = sandbox
  const environment = {
    PATH: '/usr/sbin:/usr/bin',
    LC_ALL: 'C.UTF-8',
    TZ: 'UTC',
    HOME: '/tmp',
    PYTHONDONTWRITEBYTECODE: '1',
    SOURCE_DATE_EPOCH: String(sourceDateEpoch),
    ...sandbox.environment,
  }
  const argv = ['--die-with-parent', '--new-session', '--unshare-all', '--clearenv']
  for (const [name, value] of Object.entries(environment)) argv.push('--setenv', name, value)
  argv.push('--ro-bind', join(tools, 'usr'), '/usr')
  argv.push('--ro-bind', join(tools, 'etc'), '/etc')
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) argv.push('--symlink', `usr/${name}`, `/${name}`)
  argv.push('--proc', '/proc')
  argv.push('--dev', '/dev')
  argv.push('--tmpfs', '/tmp')
  argv.push('--tmpfs', '/run')
  for (const [inside, outside] of Object.entries(readOnly)) argv.push('--ro-bind', outside, inside)
  for (const [inside, outside] of Object.entries(writable)) argv.push('--bind', outside, inside)
  if (cwd !== undefined) argv.push('--chdir', cwd)
  return [...argv, '--']
}
