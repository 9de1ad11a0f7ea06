// Finds the files of ours that a module's result depends on. Owns: what counts as a dependency.
// Fails with the file system's error when an imported file does not exist.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { filesBelow } from './files-below.ts'

/** `import … from`, `export … from`, `import '…'` and `import('…')` of a relative path. Not `import type`. */
const IMPORT =
  /^(?:import|export)\s+(?!type\s)(?:[\w$*\s,]|\{[^}]*\})+?\sfrom\s+'(\.[^']+)'|^import\s+'(\.[^']+)'|\bimport\('(\.[^']+)'\)/gm
/** A path relative to the module, as in `join(import.meta.dirname, 'initrd/init')`. */
const DATA = /\bimport\.meta\.dirname,\s*'([^']+)'/g

/**
 * The module itself, each file that it imports by a relative path, and each file that one of them names by
 * `import.meta.dirname`. Imports of types are left out, because they are erased before the code runs. npm packages are
 * left out as well.
 */
export function importClosure(entry: string): string[] {
  const found = new Set([entry])
  for (const file of found) {
    if (!file.endsWith('.ts')) continue
    const text = readFileSync(file, 'utf8')
    for (const path of importsOf(text)) found.add(join(dirname(file), path))
    for (const path of dataOf(file, text)) found.add(path)
  }
  return [...found].sort()
}

/** Relative paths that a module's text imports as values. */
export const importsOf = (text: string): string[] =>
  [...text.matchAll(IMPORT)].map(([, from, bare, dynamic]) => from ?? bare ?? dynamic ?? '')

/** A folder stands for the files in it. A folder above the module is the start of a longer path, so it is left out. */
function dataOf(file: string, text: string): string[] {
  return [...text.matchAll(DATA)].flatMap(([, path = '']) => {
    const named = join(dirname(file), path)
    if (!existsSync(named) || /^[./]*$/.test(path)) return []
    return statSync(named).isFile() ? [named] : filesBelow(named).map((below) => join(named, below))
  })
}

/** SHA-256 in hex over paths, relative to the module, and contents of its {@link importClosure}. */
export function closureDigest(entry: string): string {
  const hash = createHash('sha256')
  for (const file of importClosure(entry)) {
    const content = createHash('sha256').update(readFileSync(file)).digest('hex')
    hash.update(`${content} ${relative(dirname(entry), file)}\n`)
  }
  return hash.digest('hex')
}
