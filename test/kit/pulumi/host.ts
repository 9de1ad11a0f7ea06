// Runs Pulumi's own Node host against the fake engine, with the command line of Pulumi's language plugin.
// Owns: that command line, made from Pulumi.yaml as the plugin makes it, and the child's end.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { parse } from 'yaml'
import type { Account } from '../aws/fake-aws.ts'
import { startFakeEngine, type FakeEngine } from './fake-engine.ts'
import { exampleConfig, PROJECT_FOLDER, type StackName } from './example-stack.ts'

/** A run takes 2 s, and many times that on a loaded machine. */
const PATIENCE_MS = 120_000

export type HostRun = { exitCode: number; output: string } & Pick<
  FakeEngine,
  'resources' | 'outputs' | 'errors' | 'warnings'
>

/**
 * Runs the program for an update, or for the first preview of a stack.
 * @param nodeOptions NODE_OPTIONS of the host
 */
export async function runPulumiHost(
  stack: StackName,
  account: Account,
  { preview = false, nodeOptions = '' }: { preview?: boolean; nodeOptions?: string } = {},
): Promise<HostRun> {
  const engine = await startFakeEngine(account, preview)
  try {
    const { file, env } = language()
    const host = join(PROJECT_FOLDER, 'node_modules/@pulumi/pulumi/cmd/run')
    const argv = [
      host,
      ['--project', 'mailfleet'],
      ['--stack', stack],
      ['--root-directory', PROJECT_FOLDER],
      ['--pwd', dirname(file)],
      ['--monitor', engine.address],
      ['--engine', engine.address],
      ['--parallel', '16'],
      preview ? '--dry-run' : [],
      basename(file),
    ].flat()
    const { PATH = '' } = process.env
    const environment = {
      PATH,
      NODE_OPTIONS: nodeOptions,
      ...env,
      PULUMI_CONFIG: JSON.stringify(exampleConfig(stack)),
    }
    const ended = await new Promise<{ exitCode: number; output: string }>((resolve, reject) => {
      const options = { env: environment, timeout: PATIENCE_MS, killSignal: 'SIGKILL' } as const
      const child = execFile(process.execPath, argv, options, (error, stdout, stderr) =>
        child.exitCode === null
          ? reject(new Error(`the host did not end: ${stderr}`, { cause: error }))
          : resolve({ exitCode: child.exitCode, output: stdout + stderr }),
      )
    })
    const { resources, outputs, errors, warnings } = engine
    return { ...ended, resources, outputs, errors, warnings }
  } finally {
    engine.close()
  }
}

/** The program's file, and the environment that the plugin derives from Pulumi.yaml. */
function language() {
  const { main, runtime } = parse(readFileSync(join(PROJECT_FOLDER, 'Pulumi.yaml'), 'utf8')) as {
    main: string
    runtime: { name: string; options?: { typescript?: boolean } }
  }
  // On by default; the host then loads ts-node.
  const typescript = runtime.options?.typescript ?? true
  return { file: join(PROJECT_FOLDER, main), env: { PULUMI_NODEJS_TYPESCRIPT: String(typescript) } }
}
