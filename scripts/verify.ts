// `mailfleet image verify`: hold everything that lies beside a disk to the disk's bytes, print; the answer is no when
// something does not fit.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hashFile } from '../images/cache.ts'
import { readKey } from '../images/formats/dsse.ts'
import { IMAGE_LOCK, readDescription } from '../images/describe/manifest.ts'
import { provenanceProblems } from '../images/describe/provenance.ts'
import { SBOM } from '../images/describe/sbom.ts'
import { bakedImage } from './image.ts'
import type { Project } from './project.ts'

/** @throws {InputError} when a description is not what the manifest says, or the key is none. */
export async function imageVerify(o: { project: Project; image?: string; key?: string }): Promise<number> {
  const key = o.key === undefined ? undefined : readKey(o.key, 'public')
  const { folder, disk } = o.image === undefined ? bakedImage(o.project) : bakedImage(o.project, o.image)
  const { manifest } = readDescription(folder)
  const digest = await hashFile(disk, 'sha256')
  const problems = [
    ...(digest === manifest.digest ? [] : [`disk.raw: its digest is ${digest}, not ${manifest.digest}`]),
    ...sbomProblems(folder, digest),
    ...lockProblems(folder, manifest.lock),
    ...provenanceProblems(folder, digest, key),
  ]
  const checked = [
    'disk.raw',
    'manifest.json',
    'files.json',
    'texts.json',
    'kernel.config',
    SBOM,
    IMAGE_LOCK,
    'provenance',
  ]
  const signed =
    key === undefined ? 'no signature was asked for (--key)' : 'its provenance is signed by the key'
  if (problems.length === 0) console.log(`${digest}: ${checked.join(', ')} belong together; ${signed}`)
  for (const problem of problems) console.log(problem)
  return problems.length === 0 ? 0 : 1
}

function sbomProblems(folder: string, digest: string): string[] {
  type Bom = { metadata?: { component?: { hashes?: { content?: string }[] } } }
  const bom = JSON.parse(readFileSync(join(folder, SBOM), 'utf8')) as Bom
  const found = bom.metadata?.component?.hashes?.[0]?.content
  return found === digest ? [] : [`${SBOM}: it is about ${found ?? 'nothing'}, not ${digest}`]
}

function lockProblems(folder: string, expected: string): string[] {
  const found = createHash('sha256')
    .update(readFileSync(join(folder, IMAGE_LOCK)))
    .digest('hex')
  return found === expected ? [] : [`${IMAGE_LOCK}: its digest is ${found}, not the manifest's, ${expected}`]
}
