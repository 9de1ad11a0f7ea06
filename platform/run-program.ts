// Programs of the host itself (apt, dpkg, npm, tar). Owns: that they end with us, even when we are killed.
// Fails with the program's own words.
import { execa } from 'execa'

export type HostOptions = {
  /** The whole environment when given; else the host's. */
  env?: Record<string, string>
  cwd?: string
}

/**
 * Runs a program of the host to its end and returns what it printed.
 * @throws {Error} with the last of what it said when it fails.
 */
export async function runHost(argv: readonly string[], { env, cwd }: HostOptions = {}): Promise<string> {
  const { stdout, all, failed } = await execa('setpriv', ['--pdeathsig', 'KILL', ...argv], {
    all: true,
    reject: false,
    stdin: 'ignore',
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env, extendEnv: false }),
  })
  if (failed) {
    throw new Error(`${argv.slice(0, 2).join(' ')} failed:\n${all.trim().split('\n').slice(-25).join('\n')}`)
  }
  return stdout
}
