#!/usr/bin/env node
// Runs the command line (mailfleet.ts) on the pinned Node, whatever Node this file was started with.
// Finds that Node and passes signals and the exit code through. When the process that started this one is gone,
// also by SIGKILL or behind npm's shell, it tells the command to stop.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const node = join(root, `node_modules/node-linux-${process.arch}/bin/node`)
if (!existsSync(node)) {
  console.error(`The pinned Node is not installed (${node}). Run: node scripts/setup.mjs`)
  process.exit(2)
}

const command = spawn(node, [join(root, 'scripts/mailfleet.ts'), ...process.argv.slice(2)], {
  // The IPC channel carries no messages. When it closes, the command knows that this process has ended.
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => command.kill(signal))
command.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))

/** Under npm our parent is a shell that outlives a killed npm, so npm itself is watched too. */
const starters = process.env.npm_lifecycle_event ? [process.pid, process.ppid] : [process.pid]
const parentsAtStart = starters.map(parentOf)
const CHECK_MS = 500
setInterval(() => {
  if (starters.some((pid, i) => parentOf(pid) !== parentsAtStart[i])) command.kill('SIGTERM')
}, CHECK_MS).unref()

/** The parent of a process, from the field after the state in /proc/PID/stat; 0 when there is no such process. */
function parentOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return 0
  }
}
