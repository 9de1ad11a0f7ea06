// Copies of the working tree for mutants. The working tree itself is never changed.
// Installed packages are shared by links. Fails with the file system's error.
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
