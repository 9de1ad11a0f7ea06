// Finds settings that no code reads, by the TypeScript checker. A setting is a property of a `v.strictObject({…})`.
// Owns: what counts as a read. A read by one of the schema's own checks does not.
import { dirname, join } from 'node:path'
import ts from 'typescript'
import { ROOT } from './source-tree.ts'

type Declarations = ReadonlySet<ts.Node>

/**
 * @param schemaFiles the files with the schema, from the root
 * @param sources the files that may read the settings, from the root
 * @returns each unread setting as `file: key`
 */
export function unreadSettings(schemaFiles: readonly string[], sources: readonly string[]): string[] {
  const program = createProgram([...new Set([...schemaFiles, ...sources])])
  const checker = program.getTypeChecker()
  const parse = (file: string) => program.getSourceFile(join(ROOT, file))
  const schemas = schemaFiles.flatMap((file) => parse(file) ?? [])
  const settings = new Set(schemas.flatMap(settingsOf))
  const readers = sources.flatMap((file) => parse(file) ?? [])
  const reads = new Set(readers.flatMap((node) => readsIn(node, checker)))
  const copies = copiesOf(settings, readers, checker)
  const isRead = (setting: ts.Node) =>
    [setting, ...(copies.get(setting) ?? [])].some((node) => reads.has(node))
  return [...settings].filter((setting) => !isRead(setting)).map(nameOf)
}

function createProgram(files: readonly string[]): ts.Program {
  const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (file) => ts.sys.readFile(file)) as {
    config: unknown
  }
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT)
  return ts.createProgram(
    files.map((file) => join(ROOT, file)),
    options,
  )
}

function nameOf(setting: ts.Node): string {
  const file = setting.getSourceFile().fileName
  const name = ts.isPropertyAssignment(setting) ? setting.name.getText() : setting.getText()
  return `${file.slice(dirname(ROOT + '/x').length + 1)}: ${name}`
}

/** A node and all below it, without the checks of a schema. */
function* descendants(node: ts.Node): Generator<ts.Node> {
  if (isCallOf(node, 'v.check') || isCallOf(node, 'v.partialCheck')) return
  yield node
  const children: ts.Node[] = []
  ts.forEachChild(node, (child) => void children.push(child))
  for (const child of children) yield* descendants(child)
}

const isCallOf = (node: ts.Node, name: string): node is ts.CallExpression =>
  ts.isCallExpression(node) && node.expression.getText() === name

function settingsOf(schema: ts.SourceFile): ts.Node[] {
  return [...descendants(schema)].flatMap((node) => {
    const entries = isCallOf(node, 'v.strictObject') ? node.arguments[0] : undefined
    return entries !== undefined && ts.isObjectLiteralExpression(entries) ? [...entries.properties] : []
  })
}

/** The declarations of every property that `node` reads by name or by destructuring. */
function readsIn(node: ts.Node, checker: ts.TypeChecker): ts.Node[] {
  return [...descendants(node)].flatMap((part) => {
    if (ts.isPropertyAccessExpression(part)) return checker.getSymbolAtLocation(part.name)?.declarations ?? []
    if (!ts.isBindingElement(part) || !ts.isObjectBindingPattern(part.parent) || part.dotDotDotToken)
      return []
    const name = part.propertyName ?? part.name
    if (!ts.isIdentifier(name)) return []
    return checker.getTypeAtLocation(part.parent).getProperty(name.text)?.declarations ?? []
  })
}

/**
 * Setting → properties of other types that it is copied to: an object with settings is an argument of another type, or
 * is spread into one.
 */
function copiesOf(settings: Declarations, readers: readonly ts.Node[], checker: ts.TypeChecker) {
  const copies = new Map([...settings].map((setting) => [setting, new Set<ts.Node>([setting])]))
  const passes = readers.flatMap((reader) =>
    [...descendants(reader)].flatMap((node) => passesOf(node, checker)),
  )
  for (let found = true; found;) {
    found = false
    for (const { from, to } of passes) {
      for (const targets of copies.values()) {
        if (!targets.has(from) || targets.has(to)) continue
        targets.add(to)
        found = true
      }
    }
  }
  return copies
}

/** The properties of an object that an expression passes to a place with another type. */
function passesOf(node: ts.Node, checker: ts.TypeChecker): { from: ts.Node; to: ts.Node }[] {
  const passed = ts.isSpreadAssignment(node)
    ? { value: node.expression, target: checker.getContextualType(node.parent) }
    : ts.isExpression(node) && ts.isCallExpression(node.parent) && node.parent.arguments.includes(node)
      ? { value: node, target: checker.getContextualType(node) }
      : undefined
  if (passed?.target === undefined) return []
  const target = checker.getNonNullableType(passed.target)
  return checker
    .getNonNullableType(checker.getTypeAtLocation(passed.value))
    .getProperties()
    .flatMap((property) => {
      const to = target.getProperty(property.name)?.declarations ?? []
      return (property.declarations ?? []).flatMap((from) =>
        to.filter((other) => other !== from).map((other) => ({ from, to: other })),
      )
    })
}
