// Which images may be published: those with a signed receipt for exactly their bytes.
// Owns the check of disk, manifest and receipt, and the exceptions. Fails with InputError that says what to do.
import type { KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { InputError, formatValue, type Problem } from '../../input/problems.ts'
import { readSignedReceipt, RECEIPT, type Receipt } from '../boot/receipt.ts'
import { readManifest, type Manifest } from '../describe/manifest.ts'
import { surveyDisk, type DiskSurvey } from './snapshot/blocks.ts'

export type GateExceptions = {
  /** The image has other packages than the committed lock. */
  allowUnlocked: boolean
  /** The tested configuration loses its queue with the instance. */
  allowVolatile: boolean
}

/** `receiptKeys`: the keys whose receipts count. */
export type ReceiptGate = GateExceptions & { receiptKeys: readonly KeyObject[] }

/** The folder of an image. The digest is that of the bytes on the disk now. */
export type SurveyedImage = {
  folder: string
  disk: string
  manifest: Manifest
  survey: DiskSurvey
  /** In EC2's words. */
  architecture: 'x86_64' | 'arm64'
}

/** Debian's name → EC2's (RegisterImage: Architecture). */
const ARCHITECTURES: Record<string, SurveyedImage['architecture']> = { amd64: 'x86_64', arm64: 'arm64' }

/** @throws {InputError} when the disk is not that of the manifest, or EC2 has no such architecture */
export async function surveyImage(folder: string, signal?: AbortSignal): Promise<SurveyedImage> {
  const disk = join(folder, 'disk.raw')
  const manifest = readManifest(folder)
  const survey = await surveyDisk(disk, signal)
  if (survey.digest !== manifest.digest) {
    const expected = `the bytes of the manifest beside it, ${manifest.digest}; bake again: npx mailfleet image build`
    throw new InputError(disk, [{ key: 'digest', found: survey.digest, expected }])
  }
  const architecture = ARCHITECTURES[manifest.architecture]
  if (architecture === undefined) {
    const expected = Object.keys(ARCHITECTURES).join(' or ')
    const problem = { key: 'architecture', found: formatValue(manifest.architecture), expected }
    throw new InputError(join(folder, 'manifest.json'), [problem])
  }
  return { folder, disk, manifest, survey, architecture }
}

/**
 * The receipt of exactly these bytes, signed by a trusted key, and its SHA-256.
 * @throws {InputError} without one, or when it reports something that needs an exception
 */
export function passGate(
  { folder, survey }: SurveyedImage,
  { allowUnlocked, allowVolatile, receiptKeys }: ReceiptGate,
): { receipt: Receipt; receiptDigest: string } {
  const { receipt, receiptDigest } = readSignedReceipt(folder, survey.digest, receiptKeys)
  const problems: Problem[] = []
  if (!receipt.locked && !allowUnlocked) {
    const expected =
      'true, packages as the committed lock names them (npx mailfleet image lock), or --allow-unlocked'
    problems.push({ key: 'locked', found: 'false', expected })
  }
  if (receipt.volatileSpool && !allowVolatile) {
    const expected = 'false, a queue that outlives its instance, or --allow-volatile'
    problems.push({ key: 'volatileSpool', found: 'true', expected })
  }
  if (problems.length > 0) throw new InputError(join(folder, RECEIPT), problems)
  return { receipt, receiptDigest }
}
