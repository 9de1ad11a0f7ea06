// Checks that everything beside a disk belongs to its bytes: manifest, files, SBOM, lock and provenance.
// Returns the problems in sentences; throws InputError when a description cannot be read.
import { createHash, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hashFile } from '../cache.ts'
import { IMAGE_LOCK, readDescription } from './manifest.ts'
import { provenanceProblems } from './provenance.ts'
import { SBOM } from './sbom.ts'

export type Verification = {
  /** SHA-256 of the disk. */
  digest: string
  /** What was checked, by file name. */
  checked: string[]
  problems: string[]
}

/** @param key when given, the provenance must bear a signature of this public key */
export async function verifyImage(folder: string, key: KeyObject | undefined): Promise<Verification> {
  const { manifest } = readDescription(folder)
  const digest = await hashFile(join(folder, 'disk.raw'), 'sha256')
  const problems = [
    ...(digest === manifest.digest ? [] : [`disk.raw: its digest is ${digest}, not ${manifest.digest}`]),
    ...sbomProblems(folder, digest),
    ...lockProblems(folder, manifest.lock),
    ...provenanceProblems(folder, digest, key),
  ]
  const described = ['disk.raw', 'manifest.json', 'files.json', 'texts.json', 'kernel.config']
  return { digest, checked: [...described, SBOM, IMAGE_LOCK, 'provenance'], problems }
}

function sbomProblems(folder: string, digest: string): string[] {
  type Bom = { metadata?: { component?: { hashes?: { content?: string }[] } } }
  const bom = JSON.parse(readFileSync(join(folder, SBOM), 'utf8')) as Bom
  const found = bom.metadata?.component?.hashes?.[0]?.content
  return found === digest ? [] : [`${SBOM}: it describes ${found ?? 'nothing'}, not ${digest}`]
}

function lockProblems(folder: string, expected: string): string[] {
  const found = createHash('sha256')
    .update(readFileSync(join(folder, IMAGE_LOCK)))
    .digest('hex')
  return found === expected ? [] : [`${IMAGE_LOCK}: its digest is ${found}, not the manifest's, ${expected}`]
}
