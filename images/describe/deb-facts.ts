// Facts about each .deb for the bill of materials: its source package, and the licences in its copyright file.
// Owns: reading both from the locked .debs. Fails with dpkg-deb's own words.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runStage, type StageContext, type StageResult } from '../cache.ts'
import { runProgram } from '../../platform/run-program.ts'
import type { LockedDeb } from '../lock-file.ts'

export type SourcePackage = { name: string; version: string }
/** `licenses`: the short names of its copyright file, if that is machine-readable. */
export type DebFacts = { source: SourcePackage; licenses: string[] }

const FORMAT = '${source:Package}\n${source:Version}\n${Built-Using}'

/** Reads the facts, or finds them read. The result holds `facts.json`: SHA-256 of a .deb → {@link DebFacts}. */
export async function debFacts(
  debs: readonly LockedDeb[],
  { fetchFiles, cacheDir }: Pick<StageContext, 'fetchFiles' | 'cacheDir'>,
): Promise<StageResult> {
  return runStage(cacheDir, {
    name: 'deb-facts',
    inputs: debs.map(({ sha256 }) => sha256).sort(),
    code: import.meta.filename,
    run: async (folder) => {
      const files = await fetchFiles()
      const facts: Record<string, DebFacts> = {}
      for (const deb of debs) {
        const file = files.path(deb)
        const fields = await runProgram(['dpkg-deb', '--showformat', FORMAT, '--show', file])
        facts[deb.sha256] = { source: builtFrom(fields), licenses: licensesIn(await copyrightOf(file)) }
      }
      writeFileSync(join(folder, 'facts.json'), JSON.stringify(facts))
    },
  })
}

/** Reads back what {@link debFacts} wrote. */
export function readDebFacts(stage: StageResult): Record<string, DebFacts> {
  return JSON.parse(readFileSync(join(stage.path, 'facts.json'), 'utf8')) as Record<string, DebFacts>
}

/** A signed kernel's own source holds only signatures. CVEs name the source it was built from. */
export function builtFrom(fields: string): SourcePackage {
  const [name = '', version = '', builtUsing = ''] = fields.split('\n')
  const [, original, itsVersion] = /^(\S+) \(= ([^)]+)\)/.exec(builtUsing) ?? []
  if (/-signed(-|$)/.test(name) && original !== undefined && itsVersion !== undefined)
    return { name: original, version: itsVersion }
  return { name, version }
}

/** Empty when the package has no copyright file of its own, as when it links to another package's folder. */
async function copyrightOf(file: string): Promise<string> {
  // tar fails when nothing matches.
  const pattern = './usr/share/doc/*/copyright'
  const script = `dpkg-deb --fsys-tarfile "$1" | tar --extract --to-stdout --wildcards '${pattern}' 2>/dev/null || :`
  return runProgram(['sh', '-c', script, 'sh', file])
}

/** License names in a machine-readable copyright file: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/. */
export function licensesIn(copyright: string): string[] {
  if (!/^Format: /m.test(copyright.split('\n\n', 1)[0] ?? '')) return []
  const names = [...copyright.matchAll(/^License:[ \t]*(\S.*)$/gm)].map(([, name = '']) => name.trim())
  return [...new Set(names)].sort()
}
