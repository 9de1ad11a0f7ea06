// The command line. Owns: the list of commands, the exit codes, and the orderly stop after a signal.
// Exit codes: 0 success, 1 a negative result (such as a failed test), 2 bad input or usage, 3 the result is
// unknown, 128+n ended by signal n.
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { InputError } from '../input/problems.ts'
import type { CommandContext } from './options.ts'
import { projectAt } from './project.ts'

type AddCommand = (parent: Command, context: CommandContext) => void
type Commands = { [name: string]: (() => Promise<{ default: AddCommand }>) | CommandGroup }
type CommandGroup = { description: string; commands: Commands }

/** Each command is one file under commands/: its options, its help and its action. */
const COMMANDS: Commands = {
  start: () => import('./commands/start.ts'),
  doctor: () => import('./commands/doctor.ts'),
  image: {
    description: 'bake, lock, test and publish golden images',
    commands: {
      build: () => import('./commands/image/build.ts'),
      lock: () => import('./commands/image/lock.ts'),
      test: () => import('./commands/image/test.ts'),
      diff: () => import('./commands/image/diff.ts'),
      verify: () => import('./commands/image/verify.ts'),
      archive: {
        description: 'keep every file that the lock names where no mirror can lose it',
        commands: {
          push: () => import('./commands/image/archive-push.ts'),
          pull: () => import('./commands/image/archive-pull.ts'),
        },
      },
      publish: () => import('./commands/image/publish.ts'),
      promote: () => import('./commands/image/promote.ts'),
      revert: () => import('./commands/image/revert.ts'),
      history: () => import('./commands/image/history.ts'),
      prune: () => import('./commands/image/prune.ts'),
    },
  },
  fleet: {
    description: 'fleets of a baked image on this machine',
    commands: { up: () => import('./commands/fleet/up.ts') },
  },
  bench: {
    description: 'measure on this machine; figures go to build/reports/',
    commands: {
      bake: () => import('./commands/bench/bake.ts'),
      boot: () => import('./commands/bench/boot.ts'),
    },
  },
  test: () => import('./commands/test.ts'),
  mutate: () => import('./commands/mutate.ts'),
  prose: () => import('./commands/prose.ts'),
  docs: () => import('./commands/docs.ts'),
}

const project = projectAt(join(dirname(fileURLToPath(import.meta.url)), '..'))
/**
 * One Ctrl-C can reach this process twice: from the terminal, and from the launcher, which forwards it.
 * Signals within this time count as one.
 */
const SAME_WISH_MS = 300

const stopping = new AbortController()
watchForStop()

const context = { project, signal: stopping.signal }
const program = new Command('mailfleet')
  .description('Bakes a mail forwarding server into a machine image, and runs fleets of it.')
  .version(versionOf(project.root))
  .showHelpAfterError()
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))

const words = process.argv.slice(2)
await addCommands(program, COMMANDS, words[0] === 'help' ? words.slice(1) : words)

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof InputError) {
    console.error(error.message)
    process.exitCode = 2
  } else if (stopping.signal.aborted) {
    console.error('stopped before it was done')
  } else {
    console.error(error instanceof Error ? error.message : error)
    if (process.env['DEBUG'] && error instanceof Error) console.error(error.stack)
    process.exitCode = 1
  }
}
if (stopping.signal.aborted) process.exitCode = stopping.signal.reason as number
// A socket that is still open must not keep a finished command running.
process.exit()

/** Loads only the command that the words name; for help, or a word that is no command, all of this level. */
async function addCommands(parent: Command, commands: Commands, words: readonly string[]): Promise<void> {
  const [word = '', ...rest] = words
  const wanted = Object.entries(commands).filter(([name]) => !Object.hasOwn(commands, word) || name === word)
  for (const [name, command] of wanted) {
    if (typeof command === 'function') {
      const { default: add } = await command()
      add(parent, context)
    } else {
      const group = parent.command(name).description(command.description)
      if (name === word) await addCommands(group, command.commands, rest)
    }
  }
}

function versionOf(root: string): string {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  return manifest.version
}

/** The first signal, or the end of the launcher, asks for an orderly stop. A later signal stops at once. */
function watchForStop(): void {
  let firstMs = 0
  const stop = (signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP') => {
    const exitCode = 128 + constants.signals[signal]
    if (firstMs === 0) {
      firstMs = Date.now()
      stopping.abort(exitCode)
    } else if (Date.now() - firstMs > SAME_WISH_MS) {
      process.exit(exitCode)
    }
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  process.on('disconnect', () => stop('SIGTERM'))
  process.channel?.unref()
}
