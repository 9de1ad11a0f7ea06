// Stands before moto and makes it as strict as AWS is about snapshots and images. Owns: checking every request of the
// EBS direct APIs and answering reads (ebs-rules.ts), remembering client tokens, and the faults that a test asks for.
// What EC2 knows of images and moto does not is in ec2-answers.ts. Everything else passes through.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { DEFAULT_KEY, refusal, type Answer, type Request } from './aws-answers.ts'
import { ebsRules, type Refusal, type Start } from './ebs-rules.ts'
import { answerEc2, ec2Knowledge } from './ec2-answers.ts'

/** Answers the next `times` requests of this operation with an error; `reason` is EBS's, of a ValidationException. */
export type Fault = {
  operation: string
  times: number
  status: number
  code: string
  message?: string
  reason?: string
  /** Only there; everywhere when undefined. */
  region?: string
}

export type EbsProxy = Awaited<ReturnType<typeof startEbsProxy>>

export async function startEbsProxy(upstream: string) {
  const state = {
    rules: ebsRules(),
    ...ec2Knowledge(),
    faults: [] as Fault[],
    /** Every request, by the name of its operation. */
    operations: [] as string[],
    /** Awaited before the answer, so a test can hold it back. */
    onOperation: (() => {}) as (operation: string, region: string) => void | Promise<void>,
    /** Blocks that one page of a list holds. */
    pageBlocks: 10_000,
    tokens: new Map<string, Promise<Answer>>(),
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
  const region = /Credential=[^/]+\/\d+\/([^/]+)\//.exec(headers.authorization ?? '')?.[1] ?? ''
  const request = { method, url, headers, region, body: await buffer(incoming) }
  const form = new URLSearchParams(
    /x-www-form-urlencoded/.test(headers['content-type'] ?? '') ? request.body.toString() : '',
  )
  const operation = operationOf(request, form)
  state.operations.push(operation)
  await state.onOperation(operation, region)
  const fault = state.faults.find(
    (candidate) =>
      candidate.operation === operation &&
      candidate.times > 0 &&
      (candidate.region === undefined || candidate.region === region),
  )
  if (fault) {
    fault.times--
    const { message = `a fault of the test in ${operation}`, ...rest } = fault
    return refusal({ ...rest, message }, form.has('Action'))
  }
  if (form.has('Action')) return answerEc2(state, operation, request, form)
  return headers['x-amz-target'] === undefined ? ebs(state, operation, request) : state.forward(request)
}

async function ebs(state: State, operation: string, request: Request): Promise<Answer> {
  const { rules } = state
  const [, , first = '', , index = ''] = request.url.split(/[/?]/)
  const id = operation === 'CompleteSnapshot' ? (request.url.split('/')[3] ?? '') : first
  if (operation === 'StartSnapshot') return start(state, request)
  if (operation === 'ListSnapshotBlocks' || operation === 'GetSnapshotBlock') {
    const refused = rules.read(id)
    if (refused) return refusal(refused)
    return operation === 'ListSnapshotBlocks' ? page(state, id, request) : block(state, id, Number(index))
  }
  let refused: Refusal | null = null
  if (operation === 'PutSnapshotBlock') refused = rules.put(id, Number(index), request.headers, request.body)
  if (operation === 'CompleteSnapshot') refused = rules.complete(id, request.headers)
  return refused ? refusal(refused) : state.forward(request)
}

function page({ rules, pageBlocks }: State, id: string, { url }: Request): Answer {
  const query = new URL(url, 'http://ebs').searchParams
  const from = Number(query.get('pageToken') ?? 0)
  const all = [...rules.blocks(id).keys()]
  const Blocks = all
    .slice(from, from + pageBlocks)
    .map((BlockIndex) => ({ BlockIndex, BlockToken: `${id}.${BlockIndex}` }))
  const NextToken = from + pageBlocks < all.length ? String(from + pageBlocks) : undefined
  const body = Buffer.from(JSON.stringify({ BlockSize: 524288, Blocks, NextToken, VolumeSize: 1 }))
  return { status: 200, headers: { 'content-type': 'application/json' }, body }
}

function block({ rules }: State, id: string, index: number): Answer {
  const body = rules.blocks(id).get(index)
  if (!body) return refusal({ status: 400, code: 'ValidationException', message: 'No such block.' })
  return { status: 200, headers: { 'content-type': 'application/octet-stream' }, body }
}

/** "Subsequent retries with the same client token return the result from the original successful request." */
async function start(state: State, request: Request): Promise<Answer> {
  const asked = JSON.parse(request.body.toString()) as Start & { ClientToken: string }
  const known = state.tokens.get(asked.ClientToken)
  const refused = known === undefined ? state.rules.start(asked) : null
  if (refused) return refusal(refused)
  const answer = known ?? begin(state, request, asked)
  state.tokens.set(asked.ClientToken, answer)
  return answer
}

async function begin(state: State, request: Request, asked: Start): Promise<Answer> {
  const answer = await state.forward(request)
  const { SnapshotId } = JSON.parse(answer.body.toString()) as { SnapshotId: string }
  state.rules.started(SnapshotId, asked)
  const inherited = state.keys.get(asked.ParentSnapshotId ?? '')
  if (inherited !== undefined) state.keys.set(SnapshotId, inherited)
  if (asked.Encrypted) state.keys.set(SnapshotId, asked.KmsKeyArn ?? DEFAULT_KEY)
  return answer
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

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...headers, 'content-length': body.length }).end(body)
}
