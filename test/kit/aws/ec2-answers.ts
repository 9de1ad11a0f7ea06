// What EC2 knows of images and snapshots and moto does not: what an image was registered with, names that are taken,
// snapshots that are not yet complete, their keys, their copies, deprecation, and who refers to an image.
// Owns: that knowledge, and moto's answers made right with it.
import { DEFAULT_KEY, refusal, type Answer, type Request } from './aws-answers.ts'
import type { ebsRules } from './ebs-rules.ts'

type Registered = { region: string; form: URLSearchParams; deprecateAt?: string; createdAt?: string }

export function ec2Knowledge() {
  return {
    /** The parameters of each RegisterImage. */
    registered: [] as URLSearchParams[],
    /** Images that are registered now, by id. A test may backdate them. */
    images: new Map<string, Registered>(),
    /** Names that are taken, as REGION/NAME. */
    names: new Set<string>(),
    /** What the next looks at images show them as, instead of what they are; '' hides them. */
    imageStates: [] as string[],
    /** Encrypted snapshot → ARN of its key. */
    keys: new Map<string, string>(),
    /** moto's own snapshot of an image → the one that the image was registered with. */
    snapshotOf: new Map<string, string>(),
    /** Snapshot → when it was begun, where a test says so (ISO 8601). */
    startedAt: new Map<string, string>(),
    /** Image → what refers to it, as [type, ARN]. */
    references: new Map<string, [string, string][]>(),
  }
}

type State = ReturnType<typeof ec2Knowledge> & {
  rules: ReturnType<typeof ebsRules>
  forward: (request: Request) => Promise<Answer>
}

/** Answers a request of EC2. */
export async function answerEc2(
  state: State,
  operation: string,
  request: Request,
  form: URLSearchParams,
): Promise<Answer> {
  const own = OWN[operation]?.(state, form, request)
  if (own) return own
  const answer = await state.forward(request)
  if (answer.status !== 200) return answer
  const text = answer.body.toString()
  const id = /<(?:imageId|snapshotId)>([\w-]+)</.exec(text)?.[1] ?? ''
  const rewritten = (xml: string) => ({ ...answer, body: Buffer.from(xml) })
  if (operation === 'DeregisterImage') forget(state, form.get('ImageId') ?? '')
  if (operation === 'DeleteSnapshot') state.rules.deleted(form.get('SnapshotId') ?? '')
  if (operation === 'DescribeSnapshots') return rewritten(withKeys(state, asPending(state, text)))
  if (operation === 'DescribeImages') return rewritten(asRegistered(state, text))
  if (operation === 'CopySnapshot') {
    state.rules.copied(id, form.get('SourceSnapshotId') ?? '')
    if (form.get('Encrypted') === 'true') state.keys.set(id, form.get('KmsKeyId') ?? DEFAULT_KEY)
  }
  if (operation === 'RegisterImage') await adorn(state, request, form, id)
  return answer
}

function forget({ images, names }: State, imageId: string): void {
  const image = images.get(imageId)
  if (image) names.delete(`${image.region}/${image.form.get('Name')}`)
  images.delete(imageId)
}

type Own = (state: State, form: URLSearchParams, request: Request) => Answer | null

/** Operations, or cases of them, that moto is not asked about. */
const OWN: Record<string, Own> = {
  RegisterImage: (state, form, { region }) => {
    const name = `${region}/${form.get('Name')}`
    const code = 'InvalidAMIName.Duplicate'
    if (state.names.has(name)) return refusal({ status: 400, code, message: 'The name is in use.' }, true)
    state.names.add(name)
    state.registered.push(form)
    return null
  },
  DeleteSnapshot: (state, form) => {
    const id = form.get('SnapshotId')
    const isUsed = [...state.images.values()].some((image) => snapshotIn(image.form) === id)
    return isUsed
      ? refusal({ status: 400, code: 'InvalidSnapshot.InUse', message: 'An image uses it.' }, true)
      : null
  },
  EnableImageDeprecation: (state, form) => deprecate(state, form, form.get('DeprecateAt') ?? ''),
  DisableImageDeprecation: (state, form) => deprecate(state, form, undefined),
  DescribeImageReferences: (state, form) => {
    const ids = [...form].filter(([key]) => key.startsWith('ImageId.')).map(([, id]) => id)
    const items = ids.flatMap((id) =>
      (state.references.get(id) ?? []).map(
        ([type, arn]) =>
          `<item><imageId>${id}</imageId><resourceType>${type}</resourceType><arn>${arn}</arn></item>`,
      ),
    )
    return xml(
      `<DescribeImageReferencesResponse><imageReferenceSet>${items.join('')}</imageReferenceSet></DescribeImageReferencesResponse>`,
    )
  },
}

function deprecate({ images }: State, form: URLSearchParams, at: string | undefined): Answer {
  const image = images.get(form.get('ImageId') ?? '')
  if (!image) return refusal({ status: 400, code: 'InvalidAMIID.NotFound', message: 'No such image.' }, true)
  if (at === undefined) delete image.deprecateAt
  else image.deprecateAt = at
  return xml('<Response><return>true</return></Response>')
}

const xml = (body: string): Answer => ({
  status: 200,
  headers: { 'content-type': 'text/xml' },
  body: Buffer.from(body),
})

const snapshotIn = (form: URLSearchParams) => form.get('BlockDeviceMapping.1.Ebs.SnapshotId')

function asPending({ rules, startedAt }: State, text: string): string {
  return text
    .replace(/<snapshotId>(snap-\w+)<\/snapshotId>.*?<status>completed/gs, (part, id: string) =>
      rules.isPending(id) ? part.replace(/completed$/, 'pending') : part,
    )
    .replace(
      /(<snapshotId>(snap-\w+)<\/snapshotId>.*?<startTime>)([^<]*)/gs,
      (_, start: string, id: string, at: string) => start + (startedAt.get(id) ?? at),
    )
}

/** moto knows of no encryption, but of a copy's key. */
function withKeys({ keys }: State, text: string): string {
  return text
    .replace(/<kmsKeyId>[^<]*<\/kmsKeyId>/g, '')
    .replace(
      /(<snapshotId>(snap-\w+)<\/snapshotId>.*?)<encrypted>(false|true)<\/encrypted>/gs,
      (whole, start: string, id: string) =>
        keys.has(id) ? `${start}<encrypted>true</encrypted><kmsKeyId>${keys.get(id)}</kmsKeyId>` : whole,
    )
}

function asRegistered(state: State, text: string): string {
  const known = text
    .replace(/snap-\w+/g, (id) => state.snapshotOf.get(id) ?? id)
    .replace(/<imageId>(ami-\w+)<\/imageId>/g, (whole, id: string) => {
      const image = state.images.get(id)
      if (!image) return whole
      const { form, deprecateAt } = image
      const at = deprecateAt === undefined ? '' : `<deprecationTime>${deprecateAt}</deprecationTime>`
      return `${whole}<architecture>${form.get('Architecture')}</architecture>${at}`
    })
    .replace(
      /(<imageId>(ami-\w+)<\/imageId>(?:(?!<imageId>).)*?<creationDate>)([^<]*)/gs,
      (_, start: string, id: string, at: string) => start + (state.images.get(id)?.createdAt ?? at),
    )
  const shown = state.imageStates.shift()
  if (shown === undefined) return known
  if (shown === '') return known.replace(/<imagesSet>.*<\/imagesSet>/s, '<imagesSet/>')
  return known.replaceAll('<imageState>available<', `<imageState>${shown}<`)
}

/** moto keeps nothing but the name of a registered image: its tags are added, its snapshot is remembered. */
async function adorn(state: State, request: Request, form: URLSearchParams, imageId: string): Promise<void> {
  const tags = [...form]
    .filter(([key]) => key.startsWith('TagSpecification.1.Tag.'))
    .map(([key, value]): [string, string] => [key.replace('TagSpecification.1.', ''), value])
  const send = (parameters: [string, string][]) =>
    state.forward({
      ...request,
      body: Buffer.from(new URLSearchParams([['Version', '2016-11-15'], ...parameters]).toString()),
    })
  const described = await send([
    ['Action', 'DescribeImages'],
    ['ImageId.1', imageId],
  ])
  const own = /snap-\w+/.exec(described.body.toString())?.[0] ?? ''
  state.snapshotOf.set(own, snapshotIn(form) ?? '')
  state.images.set(imageId, { region: request.region, form })
  // Last, since the tags are what the image is found by.
  await send([['Action', 'CreateTags'], ['ResourceId.1', imageId], ...tags])
}
