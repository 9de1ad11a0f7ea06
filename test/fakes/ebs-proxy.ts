// Stands before moto and makes it as strict as AWS is about snapshots and images. Owns: checking every request of the
// EBS direct APIs (ebs-rules.ts), remembering client tokens, showing unfinished snapshots as pending, giving a
// registered image its tags and its snapshot, and the faults that a test asks for. Everything else passes through.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { ebsRules, type Refusal } from './ebs-rules.ts'

/** Answers the next `times` requests of this operation with an error; `reason` is EBS's, of a ValidationException. */
export type Fault = {
  operation: string
  times: number
  status: number
  code: string
  message?: string
  reason?: string
}

/** The account's own, which encrypts what names no key. */
export const DEFAULT_KEY = 'arn:aws:kms:eu-west-1:123456789012:key/default'

type Answer = { status: number; headers: Record<string, string>; body: Buffer }
type Request = { method: string; url: string; headers: IncomingMessage['headers']; body: Buffer }

export type EbsProxy = Awaited<ReturnType<typeof startEbsProxy>>

export async function startEbsProxy(upstream: string) {
  const state = {
    rules: ebsRules(),
    faults: [] as Fault[],
    /** Every request, by the name of its operation. */
    operations: [] as string[],
    /** The parameters of each RegisterImage. */
    registered: [] as URLSearchParams[],
    /** Awaited before the answer, so a test can hold it back. */
    onOperation: (() => {}) as (operation: string) => void | Promise<void>,
    /** What the next looks at images show them as, instead of what they are; '' hides them. */
    imageStates: [] as string[],
    /** Encrypted snapshot → ARN of its key. */
    keys: new Map<string, string>(),
    tokens: new Map<string, Promise<Answer>>(),
    /** moto's own snapshot of an image → the one that the image was registered with. */
    snapshotOf: new Map<string, string>(),
    forward: (request: Request) => forward(upstream, request),
  }
  const server = createServer((incoming, response) => {
    void handle(state, incoming)
      .catch((error: unknown) => refusal({ status: 500, code: 'Proxy', message: String(error) }))
      .then((answer) => send(response, answer))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const count = (operation: string) => state.operations.filter((name) => name === operation).length
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return Object.assign(state, { endpoint, count, close })
}

type State = Omit<EbsProxy, 'endpoint' | 'count' | 'close'>

async function handle(state: State, incoming: IncomingMessage): Promise<Answer> {
  const { method = '', url = '', headers } = incoming
  const request = { method, url, headers, body: await buffer(incoming) }
  const form = new URLSearchParams(
    /x-www-form-urlencoded/.test(headers['content-type'] ?? '') ? request.body.toString() : '',
  )
  const operation = operationOf(request, form)
  state.operations.push(operation)
  await state.onOperation(operation)
  const fault = state.faults.find((candidate) => candidate.operation === operation && candidate.times > 0)
  if (fault) {
    fault.times--
    const { message = `a fault of the test in ${operation}`, ...rest } = fault
    return refusal({ ...rest, message }, form.has('Action'))
  }
  return form.has('Action') ? ec2(state, operation, request, form) : ebs(state, operation, request)
}

async function ebs(state: State, operation: string, request: Request): Promise<Answer> {
  const { rules } = state
  const [, , first = '', , index = ''] = request.url.split(/[/?]/)
  const id = operation === 'CompleteSnapshot' ? (request.url.split('/')[3] ?? '') : first
  if (operation === 'StartSnapshot') return start(state, request)
  let refused: Refusal | null = null
  if (operation === 'PutSnapshotBlock') refused = rules.put(id, Number(index), request.headers, request.body)
  if (operation === 'CompleteSnapshot') refused = rules.complete(id, request.headers)
  if (operation === 'ListSnapshotBlocks' || operation === 'GetSnapshotBlock') refused = rules.read(id)
  return refused ? refusal(refused) : state.forward(request)
}

/** "Subsequent retries with the same client token return the result from the original successful request." */
async function start(state: State, request: Request): Promise<Answer> {
  const { ClientToken } = JSON.parse(request.body.toString()) as { ClientToken: string }
  const answer = state.tokens.get(ClientToken) ?? begin(state, request)
  state.tokens.set(ClientToken, answer)
  return answer
}

async function begin(state: State, request: Request): Promise<Answer> {
  const answer = await state.forward(request)
  const { SnapshotId } = JSON.parse(answer.body.toString()) as { SnapshotId: string }
  const { Encrypted, KmsKeyArn } = JSON.parse(request.body.toString()) as {
    Encrypted?: boolean
    KmsKeyArn?: string
  }
  state.rules.started(SnapshotId)
  if (Encrypted) state.keys.set(SnapshotId, KmsKeyArn ?? DEFAULT_KEY)
  return answer
}

async function ec2(
  state: State,
  operation: string,
  request: Request,
  form: URLSearchParams,
): Promise<Answer> {
  if (operation === 'RegisterImage') {
    const taken = state.registered.some((earlier) => earlier.get('Name') === form.get('Name'))
    const code = 'InvalidAMIName.Duplicate'
    if (taken) return refusal({ status: 400, code, message: 'The name is in use.' }, true)
    state.registered.push(form)
  }
  const answer = await state.forward(request)
  if (answer.status !== 200) return answer
  const text = answer.body.toString()
  if (operation === 'DeregisterImage') state.registered.length = 0
  if (operation === 'DeleteSnapshot') state.rules.deleted(form.get('SnapshotId') ?? '')
  if (operation === 'DescribeSnapshots') {
    const shown = text.replace(
      /<snapshotId>(snap-\w+)<\/snapshotId>.*?<status>completed/g,
      (part, id: string) => (state.rules.isPending(id) ? part.replace(/completed$/, 'pending') : part),
    )
    return { ...answer, body: Buffer.from(withKeys(state, shown)) }
  }
  if (operation === 'DescribeImages') {
    const shown = text.replace(/snap-\w+/g, (id) => state.snapshotOf.get(id) ?? id)
    return { ...answer, body: Buffer.from(shownAs(shown, state.imageStates.shift())) }
  }
  if (operation === 'RegisterImage') await adorn(state, request, form, /ami-\w+/.exec(text)?.[0] ?? '')
  return answer
}

/** moto knows of no encryption. */
function withKeys({ keys }: State, xml: string): string {
  return xml.replace(
    /(<snapshotId>(snap-\w+)<\/snapshotId>.*?)<encrypted>false<\/encrypted>/gs,
    (whole, start: string, id: string) =>
      keys.has(id) ? `${start}<encrypted>true</encrypted><kmsKeyId>${keys.get(id)}</kmsKeyId>` : whole,
  )
}

function shownAs(xml: string, imageState: string | undefined): string {
  if (imageState === undefined) return xml
  if (imageState === '') return xml.replace(/<imagesSet>.*<\/imagesSet>/s, '<imagesSet/>')
  return xml.replaceAll('<imageState>available<', `<imageState>${imageState}<`)
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
  state.snapshotOf.set(own, form.get('BlockDeviceMapping.1.Ebs.SnapshotId') ?? '')
  // Last, since the tags are what the image is found by.
  await send([['Action', 'CreateTags'], ['ResourceId.1', imageId], ...tags])
}

function operationOf({ method, url, headers }: Request, form: URLSearchParams): string {
  const target = headers['x-amz-target']
  if (typeof target === 'string') return target.split('.')[1] ?? ''
  const action = form.get('Action')
  if (action !== null) return action
  const path = url.split('?')[0] ?? ''
  if (method === 'POST' && path === '/snapshots') return 'StartSnapshot'
  if (method === 'POST' && path.startsWith('/snapshots/completion/')) return 'CompleteSnapshot'
  if (method === 'PUT') return 'PutSnapshotBlock'
  return path.endsWith('/blocks') ? 'ListSnapshotBlocks' : 'GetSnapshotBlock'
}

async function forward(upstream: string, { method, url, headers, body }: Request): Promise<Answer> {
  const passed = Object.entries(headers).filter(
    ([name]) => !/^(host|connection|content-length|transfer-encoding|expect|keep-alive)$/.test(name),
  ) as [string, string][]
  const hasBody = method !== 'GET' && method !== 'HEAD'
  const response = await fetch(upstream + url, {
    method,
    headers: passed,
    ...(hasBody ? { body: new Uint8Array(body) } : {}),
  })
  const kept = [...response.headers].filter(
    ([name]) => !/^(connection|content-length|transfer-encoding|content-encoding)$/.test(name),
  )
  return {
    status: response.status,
    headers: Object.fromEntries(kept),
    body: Buffer.from(await response.arrayBuffer()),
  }
}

function refusal({ status, code, message, reason }: Refusal, asXml = false): Answer {
  const xml = `<Response><Errors><Error><Code>${code}</Code><Message>${message}</Message></Error></Errors><RequestID>r</RequestID></Response>`
  return asXml
    ? { status, headers: { 'content-type': 'text/xml' }, body: Buffer.from(xml) }
    : {
        status,
        headers: { 'content-type': 'application/json', 'x-amzn-errortype': code },
        body: Buffer.from(JSON.stringify({ Message: message, message, Reason: reason })),
      }
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...headers, 'content-length': body.length }).end(body)
}
