// Real .debs for tests, built by dpkg-deb from a changelog.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { LockedDeb } from '../../../images/lock-file.ts'

export type Made = { file: string; deb: LockedDeb }

/**
 * Builds a package. `files`: path below its documentation folder → text, stored compressed; a folder that links to
 * another package's instead when `docLink` is given.
 */
export function madeDeb(
  name: string,
  version: string,
  o: { source?: string; files?: Record<string, string>; docLink?: string } = {},
): Made {
  const root = mkdtempSync(join(tmpdir(), 'mailfleet-deb-'))
  const tree = join(root, 'tree')
  const control = [`Package: ${name}`, `Version: ${version}`, 'Architecture: amd64']
  if (o.source !== undefined) control.push(`Source: ${o.source}`)
  control.push('Maintainer: A Test <test@example.net>', 'Description: made by a test', '')
  write(join(tree, 'DEBIAN/control'), control.join('\n'))
  const doc = join(tree, 'usr/share/doc')
  mkdirSync(doc, { recursive: true })
  if (o.docLink !== undefined) symlinkSync(o.docLink, join(doc, name))
  for (const [path, text] of Object.entries(o.files ?? {})) write(join(doc, name, path), gzipSync(text))
  const file = join(root, `${name}_${version.replace(/^\d+:/, '')}_amd64.deb`)
  execFileSync('dpkg-deb', ['--root-owner-group', '--build', tree, file], { stdio: 'ignore' })
  const content = readFileSync(file)
  const deb: LockedDeb = {
    name,
    version,
    architecture: 'amd64',
    archive: 'debian',
    filename: `pool/main/${basename(file)}`,
    sizeBytes: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
  }
  return { file, deb }
}

function write(file: string, content: string | Buffer): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
}
