// The tracked files of this repository, and its sources parsed by TypeScript. Shared by the tidy tests.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import ts from 'typescript'

export const ROOT = join(import.meta.dirname, '../..')

/** Tracked files, and new ones that Git does not ignore, as paths from the root. */
export const trackedFiles = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(ROOT, file)))

export const sourceFiles = trackedFiles.filter(
  (file) => /\.(ts|mjs)$/.test(file) && !file.startsWith('test/fixtures/'),
)

export const parsedSources = new Map(
  sourceFiles.map((file) => [
    file,
    ts.createSourceFile(file, readFileSync(join(ROOT, file), 'utf8'), ts.ScriptTarget.Latest, true),
  ]),
)

/** The module specifiers that a file imports, type imports included. */
export function specifiersOf(source: ts.SourceFile): string[] {
  const names: string[] = []
  const visit = (node: ts.Node): void => {
    const named = ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
    if (named && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      names.push(node.moduleSpecifier.text)
    }
    const [argument] =
      ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword ? node.arguments : []
    if (argument && ts.isStringLiteral(argument)) names.push(argument.text)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return names
}

/** Every import of one of our files by another. */
export function* importsBetweenFiles(): Generator<{ from: string; to: string }> {
  for (const [from, source] of parsedSources) {
    for (const name of specifiersOf(source)) {
      if (name.startsWith('.')) yield { from, to: normalize(join(dirname(from), name)) }
    }
  }
}

/** `file:line` of a node. */
export function placeOf(file: string, source: ts.SourceFile, node: ts.Node): string {
  return `${file}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`
}
