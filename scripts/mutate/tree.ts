// Copies of the working tree in which mutants live, so that the working tree itself is never changed.
// Owns: what a copy holds. What is installed is shared by links. Fails with the disk's error.
import { cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { join, relative } from 'node:path'

/** Not copied: Git's own files, and what is installed or built. */
const LEFT_OUT = new Set(['.git', 'node_modules', 'build'])
/** Installed, and used by tests as it is. */
const LINKED = ['node_modules', 'build/venv']

/** Makes a copy of the tree at `root`. */
export function copyTree(root: string, copy: string): void {
  cpSync(root, copy, { recursive: true, filter: (from) => !LEFT_OUT.has(relative(root, from)) })
  mkdirSync(join(copy, 'build'), { recursive: true })
  for (const name of LINKED) if (existsSync(join(root, name))) symlinkSync(join(root, name), join(copy, name))
}
