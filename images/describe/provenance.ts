// Where an image comes from: provenance.intoto.json beside its disk, an in-toto statement of SLSA provenance, and with a key
// provenance.intoto.dsse.json. Owns: both formats, and checking them. They name commit, builder and time, which equal images
// need not share, so they are not part of the image.
import { createHash, type KeyObject } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { envelopeOf, isSignedBy, type DsseEnvelope } from '../formats/dsse.ts'
import { writeFileAtomic } from '../../platform/atomic-file.ts'
import { runProgram } from '../../platform/run-program.ts'
import { lockText, type Lock, type LockedDeb, type LockedNpm } from '../lock-file.ts'

export const PROVENANCE = 'provenance.intoto.json'
export const SIGNED_PROVENANCE = 'provenance.intoto.dsse.json'

/** The payload's type in the envelope (DSSE). */
export const PROVENANCE_TYPE = 'application/vnd.in-toto+json'

export type ProvenanceInputs = {
  lock: Lock
  /** Debian's release number. */
  debian: string
  specFile: string
  /** npm packages whose code is in the server's bundle. */
  bundled: readonly LockedNpm[]
  image: { digest: string; folder: string }
  /** Start of the bake. */
  startedAt: Date
  signingKey?: KeyObject
}

/**
 * Writes the statement beside the disk. An earlier statement about the same build by the same builder stays as it is, with
 * its times. Its signature stays as well, unless there is a key to sign with.
 */
export async function writeProvenance(inputs: ProvenanceInputs): Promise<void> {
  const { folder } = inputs.image
  const statement = await statementOf(inputs)
  const file = join(folder, PROVENANCE)
  const earlier = existsSync(file) ? readFileSync(file, 'utf8') : ''
  const isKnown = withoutTimes(earlier) === withoutTimes(JSON.stringify(statement))
  const text = isKnown ? earlier : `${JSON.stringify(statement, null, 2)}\n`
  writeFileAtomic(file, text)
  if (inputs.signingKey === undefined) return
  const envelope = envelopeOf(text, { type: PROVENANCE_TYPE, key: inputs.signingKey })
  writeFileAtomic(join(folder, SIGNED_PROVENANCE), `${JSON.stringify(envelope)}\n`)
}

function withoutTimes(text: string): string {
  if (text === '') return ''
  const { predicate, ...rest } = JSON.parse(text) as Awaited<ReturnType<typeof statementOf>>
  return JSON.stringify([rest, predicate.buildDefinition, predicate.runDetails.builder])
}

/** https://in-toto.io/Statement/v1 with https://slsa.dev/spec/v1.0/provenance */
async function statementOf({ debian, lock, specFile, bundled, image, startedAt }: ProvenanceInputs) {
  const sha256 = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex')
  const commit = await commitOf(dirname(specFile))
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: 'disk.raw', digest: { sha256: image.digest } }],
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType: 'urn:mailfleet:image-build:1',
        externalParameters: {
          spec: { digest: { sha256: sha256(readFileSync(specFile)) } },
          lock: { digest: { sha256: sha256(lockText(lock)) } },
          ...(commit === undefined ? {} : { source: commit }),
        },
        resolvedDependencies: [
          ...uniqueDebs(lock).map((deb) => ({
            uri: `pkg:deb/debian/${deb.name}@${encodeURIComponent(deb.version)}?arch=${deb.architecture}&distro=debian-${debian}`,
            digest: { sha256: deb.sha256 },
          })),
          ...[lock.node, ...lock.native, ...bundled].map(({ name, version, integrity }) => ({
            uri: `pkg:npm/${name.replace('@', '%40')}@${version}`,
            digest: { sha512: Buffer.from(integrity.replace(/^sha512-/, ''), 'base64').toString('hex') },
          })),
        ],
      },
      runDetails: {
        builder: { id: builderId(process.env) },
        metadata: { startedOn: startedAt.toISOString(), finishedOn: new Date().toISOString() },
      },
    },
  }
}

const uniqueDebs = (lock: Lock): LockedDeb[] => [
  ...new Map([...lock.root, lock.kernel, ...lock.tools].map((deb) => [deb.sha256, deb])).values(),
]

/** On GitHub the running workflow, which is also the identity that signs. Elsewhere a constant. */
export function builderId(env: NodeJS.ProcessEnv): string {
  const { GITHUB_SERVER_URL: server = 'https://github.com', GITHUB_WORKFLOW_REF: workflow } = env
  return workflow === undefined ? 'urn:mailfleet:builder:local' : `${server}/${workflow}`
}

/** Undefined outside a git checkout. `modified`: tracked files differ from the commit. */
async function commitOf(folder: string): Promise<{ gitCommit: string; modified: boolean } | undefined> {
  const git = (...argv: string[]) => runProgram(['git', '-C', folder, ...argv])
  try {
    const gitCommit = (await git('rev-parse', 'HEAD')).trim()
    const changed = await git('status', '--porcelain', '--untracked-files=no')
    return { gitCommit, modified: changed.trim() !== '' }
  } catch {
    return undefined
  }
}

/**
 * Problems of an image's provenance; empty when there are none.
 * @param key the key whose signature is required; without it no signature is
 */
export function provenanceProblems(folder: string, digest: string, key: KeyObject | undefined): string[] {
  const file = join(folder, PROVENANCE)
  if (!existsSync(file)) return [`${PROVENANCE}: there is none`]
  const text = readFileSync(file, 'utf8')
  const { subject } = JSON.parse(text) as { subject?: { digest?: { sha256?: string } }[] }
  const named = subject?.[0]?.digest?.sha256
  const problems = named === digest ? [] : [`${PROVENANCE}: it is about ${named ?? 'nothing'}, not ${digest}`]
  if (key === undefined) return problems
  const signed = join(folder, SIGNED_PROVENANCE)
  if (!existsSync(signed)) return [...problems, `${SIGNED_PROVENANCE}: there is none`]
  const envelope = JSON.parse(readFileSync(signed, 'utf8')) as DsseEnvelope
  return isSignedBy(envelope, text, { type: PROVENANCE_TYPE, key })
    ? problems
    : [...problems, `${SIGNED_PROVENANCE}: not the key's signature over ${PROVENANCE}`]
}
