// Runs programs of the host (apt, dpkg, npm, tar). Such a program ends with this process, even when that is killed.
// Fails with the last lines that the program printed.
import { execa } from 'execa'

export type ProgramOptions = {
  /** The whole environment of the program. The default is this process's own. */
  env?: Record<string, string>
  cwd?: string
}

/**
 * Runs a program to its end and returns what it printed.
 * @throws {Error} with the last 25 lines of its output when it fails
 */
export async function runProgram(
  argv: readonly string[],
  { env, cwd }: ProgramOptions = {},
): Promise<string> {
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
