// Publishes an image to one region of AWS: a baked and boot-tested folder in, an AMI out. Owns: the order (gate,
// snapshot, AMI, record), and that running it twice makes nothing twice. Stopped at any point, it leaves what the next
// run finishes. Fails with InputError (the image, credentials), or with one sentence about AWS's refusal.
import { InputError } from '../../input/problems.ts'
import type { Progress } from '../progress.ts'
import { explained, type AwsClients } from './clients.ts'
import { passGate, surveyImage, type Exceptions, type SurveyedImage } from './gate.ts'
import { eventually, PATIENCE, type Patience } from './patience.ts'
import { recordPublished, type PublishedImage } from './published.ts'
import { verifyBlocks } from './read-back.ts'
import { availableImage, findImage, isNameTaken, registerImage } from './register.ts'
import { demandEncryption, ensureSnapshot, type Encryption } from './snapshot.ts'

export type PublishOptions = Exceptions &
  Encryption & {
    /** Holds disk.raw, manifest.json and receipt.json. */
    folder: string
    aws: AwsClients
    /** What the checkout was when this ran, for the tags. */
    commit: string
    /** Read the snapshot back from AWS and compare it. */
    verify: boolean
    signal: AbortSignal
    onProgress: Progress
    /** Bytes written to AWS so far, and in all; called after each block. */
    onBytes: (sent: number, total: number) => void
    patience?: Patience
  }

export type PublishResult = PublishedImage & {
  digest: string
  /** Nothing had to be made: the image was there. */
  cached: boolean
}

/** EC2 shows what was made within seconds. */
const SHOWN_MS = 60_000

/** Makes an AMI of the image, or finds it; adds it to published.json. */
export async function publish(o: PublishOptions): Promise<PublishResult> {
  const { patience = PATIENCE, signal, onProgress, aws } = o
  checkKey(o.kmsKey)
  onProgress('reading the disk')
  const image = await surveyImage(o.folder, signal)
  const { receiptDigest } = passGate(image, o)
  const { digest } = image.survey
  const found = await explained(findImage(aws.ec2, digest, o))
  const made = found ?? (await explained(makeImage({ ...o, patience }, image, receiptDigest)))
  if (o.encrypt) await explained(demandEncryption({ ...o, ec2: aws.ec2 }, made))
  await explained(availableImage(aws.ec2, made.imageId, { patience, signal, shownMs: SHOWN_MS }))
  if (o.verify) {
    onProgress(`reading snapshot ${made.snapshotId} back`)
    const { snapshotId } = made
    await explained(verifyBlocks({ ebs: aws.ebs, snapshotId, patience, signal }, image.survey.blocks))
  }
  const published = { region: aws.region, ...made, publishedAt: new Date().toISOString() }
  recordPublished(o.folder, { digest, receipt: receiptDigest, image: published })
  return { digest, ...published, cached: found !== null }
}

/** StartSnapshot takes the ARN of a key, and no alias, id or alias's ARN (API reference, StartSnapshot: KmsKeyArn). */
function checkKey(found: string | undefined): void {
  if (found === undefined || /^arn:aws[a-z-]*:kms:[^:]+:\d{12}:key\/.+/.test(found)) return
  const expected = 'the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID'
  throw new InputError('the options', [{ key: '--kms-key', found, expected }])
}

async function makeImage(
  o: PublishOptions & { patience: Patience },
  { disk, manifest, survey }: SurveyedImage,
  receiptDigest: string,
): Promise<{ snapshotId: string; imageId: string }> {
  const tags = [
    { Key: 'mailfleet:receipt', Value: receiptDigest },
    { Key: 'mailfleet:commit', Value: o.commit },
    { Key: 'mailfleet:lock', Value: manifest.lock },
  ]
  const snapshotId = await ensureSnapshot({ ...o, ...o.aws, disk, survey, tags })
  o.onProgress('registering the image')
  const name = `${manifest.name}-${survey.digest}`
  const request = { name, digest: survey.digest, snapshotId, tags, signal: o.signal }
  try {
    return { snapshotId, imageId: await registerImage(o.aws.ec2, request) }
  } catch (error) {
    if (!isNameTaken(error)) throw error
    // The digest is in the name, so it is this image; AWS may take a moment to show it.
    const patience = { ...o.patience, settleMs: Math.min(o.patience.settleMs, SHOWN_MS) }
    const look = () => findImage(o.aws.ec2, survey.digest, o)
    const other = await eventually(`showing image ${name}`, look, { patience, signal: o.signal })
    o.onProgress(`image ${other.imageId} was registered by another run`)
    return other
  }
}
